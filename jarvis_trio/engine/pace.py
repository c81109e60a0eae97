"""The batching window: how often an upstream is read.

The first text goes out at once, and with each frame a window opens in which the upstream is left
alone. What it makes meanwhile gathers where that costs nothing, in the kernel's socket buffer; one
read at the window's end then makes one frame of it. So text waits for a window at most, and an
upstream that is slower than that does not wait at all.
"""

from collections.abc import Iterable

import trio
from structlog.typing import FilteringBoundLogger

from jarvis_trio.engine.window import Window
from jarvis_trio.events import Delta, Finish, ToolCall, Usage
from jarvis_trio.providers.base import Answer


class Pace:
    """Waits between two reads of one upstream.

    A read that brought more than ``flush_bytes`` of text, or an end marker, is followed by the next
    at once.
    """

    def __init__(self, window: Window, flush_bytes: int, log: FilteringBoundLogger) -> None:
        self._window = window
        self._flush_bytes = flush_bytes
        self._log = log

    async def rest(self, answer: Answer, deltas: list[Delta], size: int) -> None:
        """Wait until it is time for the next read, after ``deltas`` with ``size`` bytes of text."""
        if is_end(deltas):
            await trio.lowlevel.checkpoint()
            return
        if size > self._flush_bytes:
            self._log.debug("flush_immediate", size=size)
            await trio.lowlevel.checkpoint()
            return
        self._log.debug("flush_scheduled")
        try:
            await answer.gather(self._window.seconds)
        except trio.Cancelled:
            self._log.debug("flush_cancelled")
            raise


def is_end(deltas: list[Delta]) -> bool:
    """Say whether the answer's end marker is there: nothing that follows is worth a window."""
    return isinstance(deltas[-1], (Finish, Usage))


def size_of(deltas: Iterable[Delta]) -> int:
    """Return how many bytes of text they hold, as UTF-8."""
    size = 0
    for delta in deltas:
        if isinstance(delta, (Finish, Usage)):
            continue
        text = delta.arguments if isinstance(delta, ToolCall) else delta.text
        size += len(text) if text.isascii() else len(text.encode())
    return size
