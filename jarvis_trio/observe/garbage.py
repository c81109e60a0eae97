"""The garbage collector's part in holding up the loop, kept small and told as what it is.

A full collection looks at everything that lives: with a thousand streams, for a quarter of a
second. It is not made more seldom: what requests leave behind in circles would wait as well.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal


def spare_the_loop() -> None:
    """Leave out what is there for good."""
    gc.collect()
    gc.freeze()


class Collections:
    """Knows the last collection, for whoever looks from another thread."""

    def __init__(self) -> None:
        self._began = self._ended = float("-inf")

    def seconds_since(self, moment: float) -> float:
        """Return how long one took after ``moment`` (``time.monotonic()``), so far, or 0."""
        began, ended = self._began, self._ended
        if began > ended:  # it is under way
            ended = time.monotonic()
        return ended - began if ended >= moment else 0.0

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take note of those that fall inside the block."""
        gc.callbacks.append(self._note)
        try:
            yield
        finally:
            gc.callbacks.remove(self._note)

    def _note(self, phase: Literal["start", "stop"], _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.monotonic()
        else:
            self._ended = time.monotonic()
