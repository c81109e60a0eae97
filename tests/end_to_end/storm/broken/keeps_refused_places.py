"""Whoever is refused takes a place, for ever."""

from jarvis_trio.engine.admission import Admission
from jarvis_trio.errors import UnavailableError

_check = Admission.check


def break_it() -> None:
    Admission.check = _check_and_take  # type: ignore[method-assign]


def _check_and_take(self: Admission) -> None:
    try:
        _check(self)
    except UnavailableError:
        self.take()
        raise
