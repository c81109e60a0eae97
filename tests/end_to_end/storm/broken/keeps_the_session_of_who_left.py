"""The session of a client that left stays busy for ever."""

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause

_release = Sessions._release


def break_it() -> None:
    Sessions._release = _release_unless_left  # type: ignore[method-assign]


def _release_unless_left(self: Sessions, stream: LiveStream) -> None:
    if stream.cause is not Cause.CLIENT_DISCONNECT:
        _release(self, stream)
