"""Now and then, a piece of text goes to another session as well as to its own."""

from itertools import count

from jarvis_trio.engine.replay import ReplayBuffer

EVERY = 20
TEXT = b'"content":"w'

_append = ReplayBuffer.append
_numbers = count(1)
_latest = b""


def break_it() -> None:
    ReplayBuffer.append = _append_somebodys  # type: ignore[method-assign]


def _append_somebodys(self: ReplayBuffer, frame: bytes) -> None:
    global _latest  # noqa: PLW0603 - a broken server is not pretty
    _append(self, frame)
    if TEXT in frame:
        if _latest and not next(_numbers) % EVERY:
            _append(self, _latest)
        _latest = frame
