"""How late the harness itself is: what it measures beyond that is the server's."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import trio

BEAT_SECONDS = 0.005
TOO_LATE_MS = 25.0
"""A harness that is so late has no say about latencies."""


class LoopLag:
    """Sleeps for short times and notes how much longer they took. Run it beside the scenarios."""

    def __init__(self) -> None:
        self._worst_ms = 0.0
        self._due, self._since = float("inf"), 0.0
        self._is_held = False

    @property
    def worst_ms(self) -> float:
        """How late at most since the restart, also when it is late right now."""
        self._note()
        return self._worst_ms

    def restart(self) -> None:
        """Forget what was; a new scenario begins."""
        self._worst_ms = 0.0
        self._since = trio.current_time()
        self._is_held = False

    def hold(self) -> None:
        """Note no more until the restart: all is measured, and what follows is sums."""
        self._note()
        self._is_held = True

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            self._due = trio.current_time() + BEAT_SECONDS
            await trio.sleep_until(self._due)
            self._note()

    def _note(self) -> None:
        if not self._is_held:
            late = trio.current_time() - max(self._due, self._since)
            self._worst_ms = max(self._worst_ms, late * 1000)


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep the garbage collector away while something is measured that takes seconds.

    Over the tasks of thousands of calls, one collection takes 75 ms.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
