"""Now and then, a piece of text is lost."""

from itertools import count

from jarvis_trio.engine.replay import ReplayBuffer

EVERY = 20
TEXT = b'"content":"w'

_append = ReplayBuffer.append
_numbers = count(1)


def break_it() -> None:
    ReplayBuffer.append = _append_most  # type: ignore[method-assign]


def _append_most(self: ReplayBuffer, frame: bytes) -> None:
    if TEXT not in frame or next(_numbers) % EVERY:
        _append(self, frame)
