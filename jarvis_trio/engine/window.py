"""How long the batching window is: as set, and longer while the event loop has too much to do.

A loop that does is late, or never waits: then everybody waits for it. To read and write less often
is what helps it most, as a frame costs nearly the same whatever it holds. So latency grows a little
and evenly where it would grow without end.
"""

import time
from collections.abc import Callable
from typing import Final

import trio

LONGEST_SECONDS: Final = 0.225
"""With what else delays a frame, a quarter of a second: after longer pauses, text no longer seems
to flow. A setting that is longer still counts."""

LOOK_SECONDS: Final = 0.1

LATE_SECONDS: Final = 0.02
PUNCTUAL_SECONDS: Final = 0.01
BUSY: Final = 0.9
EASY: Final = 0.7
"""Of a core. Between the two, of either, the window stays as it is."""

STEP: Final = 1.5


class Window:
    """``seconds`` is how long a window is at present. Run :meth:`run` beside the streams.

    A window of no length is none, and stays so. ``cpu_seconds`` says how much of a core the loop's
    thread has used so far.
    """

    def __init__(
        self, seconds: float, *, cpu_seconds: Callable[[], float] = time.thread_time
    ) -> None:
        self.seconds = seconds
        self._cpu_seconds = cpu_seconds
        self._shortest = seconds
        self._longest = max(seconds, LONGEST_SECONDS)

    async def run(self) -> None:
        """See how late the loop is, and how busy, again and again, until cancelled."""
        while True:
            began, used = trio.current_time(), self._cpu_seconds()
            due = began + LOOK_SECONDS
            await trio.sleep_until(due)
            now = trio.current_time()
            self._fit(now - due, (self._cpu_seconds() - used) / (now - began))

    def _fit(self, late_seconds: float, busy: float) -> None:
        if late_seconds > LATE_SECONDS or busy > BUSY:
            self.seconds = min(self.seconds * STEP, self._longest)
        elif late_seconds < PUNCTUAL_SECONDS and busy < EASY:
            self.seconds = max(self.seconds / STEP, self._shortest)
