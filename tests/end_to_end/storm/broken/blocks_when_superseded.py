"""The first time that a session's answer is superseded, the event loop is blocked."""

import time

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import JarvisError
from jarvis_trio.events import Cause

SECONDS = 1.5

_cancel = LiveStream.cancel
_blocked: set[str] = set()


def break_it() -> None:
    LiveStream.cancel = _cancel_slowly  # type: ignore[method-assign]


def _cancel_slowly(self: LiveStream, cause: Cause, error: JarvisError | None = None) -> None:
    session = self.prompt.session_id
    if cause is Cause.SUPERSEDED and session not in _blocked:
        _blocked.add(session)
        time.sleep(SECONDS)
    _cancel(self, cause, error)
