"""Told to go, the server goes on."""

from jarvis_trio.web.drain import Drain


def break_it() -> None:
    Drain.begin = _shrug  # type: ignore[method-assign]


def _shrug(self: Drain) -> None:
    pass
