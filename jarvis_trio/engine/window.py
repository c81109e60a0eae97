"""How long the batching window is: as set, and longer while the event loop has too much to do.

A loop that is late makes everybody wait, and to read and write less often is what helps it most: a
frame costs nearly the same whatever it holds. So latency grows a little and evenly where it would
grow without end.
"""

from typing import Final

import trio

LONGEST_SECONDS: Final = 0.25
"""Longer than this, text no longer seems to flow. A setting that is longer still counts."""

LOOK_SECONDS: Final = 0.1
LATE_SECONDS: Final = 0.02
PUNCTUAL_SECONDS: Final = 0.01
"""Between the two, the window stays as it is."""

STEP: Final = 1.25


class Window:
    """``seconds`` is how long a window is at present. Run :meth:`run` beside the streams.

    A window of no length is none, and stays so.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._shortest = seconds
        self._longest = max(seconds, LONGEST_SECONDS)

    async def run(self) -> None:
        """See how late the loop is, again and again, until cancelled."""
        while True:
            due = trio.current_time() + LOOK_SECONDS
            await trio.sleep_until(due)
            self._fit(trio.current_time() - due)

    def _fit(self, late_seconds: float) -> None:
        if late_seconds > LATE_SECONDS:
            self.seconds = min(self.seconds * STEP, self._longest)
        elif late_seconds < PUNCTUAL_SECONDS:
            self.seconds = max(self.seconds / STEP, self._shortest)
