"""A server that is full does not say when to come back."""

from jarvis_trio.engine.admission import Admission
from jarvis_trio.errors import UnavailableError

_check = Admission.check


def break_it() -> None:
    Admission.check = _check_silently  # type: ignore[method-assign]


def _check_silently(self: Admission) -> None:
    try:
        _check(self)
    except UnavailableError as error:
        error.retry_after = None
        raise
