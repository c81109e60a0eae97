"""Durations and other numbers as people write them on a command line."""

import re
from typing import Final

import click

LONGEST_SECONDS: Final = 3600.0
MOST: Final = 1e9
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_WRITTEN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")


def duration(text: str) -> float:
    """Read ``50ms``, ``2s``, ``1.5s`` or ``1m`` and return seconds: a click type."""
    if (match := _WRITTEN.fullmatch(text)) is None:
        raise click.BadParameter(f"{text!r} is no duration; write 50ms, 2s, 1.5s or 1m")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > LONGEST_SECONDS:
        raise click.BadParameter(f"{text} is longer than an hour")
    return seconds


def patience(text: str) -> float:
    """Read a duration that is not 0."""
    if (seconds := duration(text)) == 0:
        raise click.BadParameter("nothing happens in no time; write 10s")
    return seconds


def number(text: str) -> float:
    """Read a number that can be reckoned with: ``nan`` and ``inf`` are none."""
    try:
        if 0 <= (value := float(text)) <= MOST:
            return value
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is no number from 0 to {MOST:.0f}")
