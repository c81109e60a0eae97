"""The garbage collector's part in holding up the loop, kept small and told as what it is.

A full collection looks at everything that lives: with a thousand streams, for a quarter of a
second. Python runs one whenever what lives has grown by a quarter, so just while many streams
begin, and finds nothing: they have only begun. Here it waits until they have ended.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import trio

LOOK_SECONDS: Final = 0.1
"""A flood leaves what it makes in this time: with a look each second that was 45 MB."""

FEWEST_ROUNDS: Final = 10
STREAMS_PER_ROUND: Final = 2
"""A round is one of the smaller collections, which come with every 7,000 objects that are neither
new nor gone: about 20 streams that begin. So a full collection comes after ten times as many
streams as live, and costs each of them, however many there are, less than a frame does."""

NEVER: Final = 2**31 - 1
"""As many smaller collections as the collector can count."""


def spare_the_loop() -> None:
    """Leave out what is there for good."""
    gc.collect()
    gc.freeze()


async def collect_when_due(live_streams: Callable[[], int]) -> None:
    """Run the full collections in Python's stead, until cancelled."""
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    try:
        while True:
            await trio.sleep(LOOK_SECONDS)
            if is_due(gc.get_count()[2], live_streams()):
                gc.collect()
    finally:
        gc.set_threshold(young, middle, old)


def is_due(rounds: int, live_streams: int) -> bool:
    """Say whether a full collection is worth its pause, after so many smaller ones."""
    if not live_streams:
        return rounds > 0
    return rounds >= max(FEWEST_ROUNDS, live_streams // STREAMS_PER_ROUND)


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
