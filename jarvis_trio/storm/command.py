"""The storm as a command: reads what was asked for, plays it, and writes what was found."""

import errno
import os
import signal
import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import click
import msgspec
import trio
from msgspec import Struct

from jarvis_trio import __version__
from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.report import Report, printable
from jarvis_trio.storm.report.html import write_html
from jarvis_trio.storm.report.json_file import write_json
from jarvis_trio.storm.report.junit import write_junit
from jarvis_trio.storm.report.progress import Course, shown
from jarvis_trio.storm.report.table import print_table
from jarvis_trio.storm.run import run_storm
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.all import ALL
from jarvis_trio.storm.stage import Abilities, StormOptions
from jarvis_trio.storm.target import Target, read_target
from jarvis_trio.storm.trial import Verdict

STDOUT: Final = "-"


class Order(Struct, frozen=True, kw_only=True):
    """What the command line asked for; the names are its options'."""

    url: str
    sim: str | None
    key: str | None
    model: str | None
    scenario: tuple[str, ...]
    sessions: int
    prompts: int
    gap: float
    seed: int
    patience: float
    soak: float
    grace: float
    pid: int | None
    insecure: bool
    json: str | None
    junit: str | None
    html: str | None
    quiet: bool


def run_command(order: Order) -> int:
    """Play, tell, and return the exit status: 0, 1, or 130 after Ctrl-C (143 after SIGTERM).

    Errors: ConfigError, in a printable sentence, for all that keeps it from being played.
    """
    try:
        return _run(order)
    except ConfigError as error:
        raise ConfigError(printable(error.message)) from error


def _run(order: Order) -> int:
    target, sim = _targets(order)
    scenarios = _chosen(order.scenario)
    options = _storm_options(order)
    outputs = _outputs(order)
    course = Course(len(scenarios))
    began_at, began = datetime.now(UTC), monotonic()
    if order.quiet:
        ended_by = trio.run(_play, target, sim, options, scenarios, course)
    else:
        with shown(course):
            ended_by = trio.run(_play, target, sim, options, scenarios, course)
    report = Report(
        version=__version__,
        url=target.url,
        sim=None if sim is None else sim.url,
        options=options,
        abilities=course.abilities or Abilities([]),
        began_at=began_at,
        seconds=round(monotonic() - began, 2),
        trials=course.trials,
    )
    if ended_by is not None:
        return _tell_what_was_played(report, course, ended_by)
    _tell(report, outputs, order.quiet)
    return 1 if report.verdict is Verdict.FAIL else 0


async def _play(
    target: Target,
    sim: Target | None,
    options: StormOptions,
    scenarios: list[Scenario],
    course: Course,
) -> int | None:
    """Play until all is played, or a signal comes; return its number."""
    ended_by: int | None = None
    problem: ConfigError | None = None

    async def watch() -> None:
        nonlocal ended_by
        async for number in signals:
            ended_by = number
            nursery.cancel_scope.cancel(reason=signal.Signals(number).name)

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            try:
                await run_storm(target, sim, options, scenarios, course)
            except ConfigError as error:
                problem = error
            nursery.cancel_scope.cancel(reason="the storm is over")
    if problem is not None:
        raise problem
    return ended_by


def _tell_what_was_played(report: Report, course: Course, ended_by: int) -> int:
    if report.trials:
        print_table(report, sys.stderr)
    during = f" during {course.playing}" if course.playing else ""
    played = f"{len(report.trials)} of {course.scenarios} scenarios were played"
    click.echo(f"interrupted{during}: {played}; nothing was written", err=True)
    return 128 + ended_by


def _targets(order: Order) -> tuple[Target, Target | None]:
    target = read_target(order.url, order.key)
    sim = None if order.sim is None else read_target(order.sim)
    if order.insecure:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        target = msgspec.structs.replace(target, trust=trust)
        sim = None if sim is None else msgspec.structs.replace(sim, trust=trust)
    return target, sim


def _chosen(names: tuple[str, ...]) -> list[Scenario]:
    """Return the scenarios of those names, in the order of playing; all when none is named."""
    known = [scenario.name for scenario in ALL]
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no scenario {name!r}; there are {', '.join(known)}")
    return [scenario for scenario in ALL if not names or scenario.name in names]


def _storm_options(order: Order) -> StormOptions:
    if order.model is not None and not order.model.isprintable():
        raise ConfigError("--model holds characters that no name has")
    if order.pid is not None:
        try:
            os.kill(order.pid, 0)
        except OSError as error:
            raise ConfigError(
                f"--pid {order.pid} is no process that can be told to stop: {error.strerror}"
            ) from error
    return StormOptions(
        sessions=order.sessions,
        prompts=order.prompts,
        gap_seconds=order.gap,
        seed=order.seed,
        pid=order.pid,
        model=order.model,
        patience_seconds=order.patience,
        soak_seconds=order.soak,
        grace_seconds=order.grace,
    )


def _outputs(order: Order) -> dict[str, Callable[[Report], str]]:
    """Return what is to be written where, having seen that it can be."""
    wanted = ((order.json, write_json), (order.junit, write_junit), (order.html, write_html))
    outputs: dict[str, Callable[[Report], str]] = {}
    for path, write in wanted:
        if path is None:
            continue
        if path in outputs:
            raise ConfigError(f"{path} cannot take two reports")
        outputs[path] = write
        if path != STDOUT and not _is_writable(Path(path)):
            raise ConfigError(f"{path} is no file that can be written")
    return outputs


def _is_writable(path: Path) -> bool:
    if path.exists():
        return not path.is_dir() and os.access(path, os.W_OK)
    return path.parent.is_dir() and os.access(path.parent, os.W_OK)


def _tell(report: Report, outputs: dict[str, Callable[[Report], str]], is_quiet: bool) -> None:
    """Write and print all that can be. *Errors:* ConfigError, naming what could not be written."""
    ways = [(path, partial(_write, path, write(report))) for path, write in outputs.items()]
    if not is_quiet:
        table = sys.stderr if STDOUT in outputs else sys.stdout
        ways.append((STDOUT, partial(print_table, report, table)))
    problems = []
    for path, way in ways:
        try:
            way()
        except OSError as error:
            name = "stdout" if path == STDOUT else path
            if error.errno != errno.EPIPE:  # a pipe's reader may have seen enough
                problems.append(f"{name} cannot be written: {error.strerror}")
            if path == STDOUT:  # what is left in its buffer would be tried again at the exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if problems:
        raise ConfigError("; ".join(problems))


def _write(path: str, text: str) -> None:
    if path == STDOUT:
        click.echo(text, nl=False)
    else:
        Path(path).write_text(text, "utf-8")
