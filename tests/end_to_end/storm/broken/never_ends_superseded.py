"""Who reads a superseded answer is never told that it is over."""

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause

_conclude = LiveStream.conclude


def break_it() -> None:
    LiveStream.conclude = _conclude_the_others  # type: ignore[method-assign]


def _conclude_the_others(self: LiveStream) -> None:
    if self.cause is not Cause.SUPERSEDED:
        _conclude(self)
