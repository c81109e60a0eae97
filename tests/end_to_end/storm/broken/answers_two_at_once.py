"""A new prompt leaves the answer before it alone, and is answered beside it."""

from jarvis_trio.engine.session import Session
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import JarvisError
from jarvis_trio.events import Cause

_cancel = LiveStream.cancel


def break_it() -> None:
    LiveStream.cancel = _cancel_all_but_superseded  # type: ignore[method-assign]
    Sessions._take_over = _barge_in  # type: ignore[method-assign]


def _cancel_all_but_superseded(
    self: LiveStream, cause: Cause, error: JarvisError | None = None
) -> None:
    if cause is not Cause.SUPERSEDED:
        _cancel(self, cause, error)


async def _barge_in(self: Sessions, session: Session, stream: LiveStream) -> None:
    session.start(stream)
