"""An answer whose client has left goes on."""

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause


def break_it() -> None:
    LiveStream._abandoned = _shrug  # type: ignore[method-assign]


def _shrug(self: LiveStream, cause: Cause) -> None:
    pass
