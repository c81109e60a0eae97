"""An answer that came to its end keeps its session: the next prompt there waits for ever."""

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause

_release = Sessions._release


def break_it() -> None:
    Sessions._release = _release_the_others  # type: ignore[method-assign]


def _release_the_others(self: Sessions, stream: LiveStream) -> None:
    if stream.cause is not Cause.COMPLETED:
        _release(self, stream)
