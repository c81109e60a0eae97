"""What was counted lately, piece of time by piece: who looks after an incident still sees it."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import trio
from msgspec import Struct

from jarvis_trio.events import Cause
from jarvis_trio.observe.metrics import Totals

PIECE_SECONDS: Final = 5
PIECES: Final = 60


class Lately(Struct, frozen=True, kw_only=True):
    """Counts for each ``piece_seconds``, the oldest first; the last piece has not ended yet.

    ``live`` is how many streams there were at each piece's end. There are fewer pieces while the
    server is young.
    """

    piece_seconds: int = PIECE_SECONDS
    live: list[int]
    begun: list[int]
    quarantined: list[int]
    ended: dict[Cause, list[int]]


class OverTime:
    """Looks at the totals again and again: nothing is counted twice. Run it beside the streams."""

    def __init__(self, totals: Callable[[], Totals]) -> None:
        self._totals = totals
        self._began_at: float | None = None
        self._marks = deque([totals()], maxlen=PIECES + 1)

    @property
    def uptime_seconds(self) -> float:
        """How long it has been running."""
        return 0.0 if self._began_at is None else trio.current_time() - self._began_at

    async def run(self) -> None:
        """Mark where each piece of time ends, until cancelled."""
        self._began_at = due = trio.current_time()
        while True:
            due += PIECE_SECONDS
            await trio.sleep_until(due)
            self._marks.append(self._totals())

    def lately(self) -> Lately:
        """Return what was counted in the last ``PIECES``, and in the one that runs."""
        marks = [*self._marks, self._totals()]
        return Lately(
            live=[mark.begun - sum(mark.ended.values()) for mark in marks[1:]],
            begun=_grown([mark.begun for mark in marks]),
            quarantined=_grown([mark.quarantined for mark in marks]),
            ended={cause: _grown([mark.ended[cause] for mark in marks]) for cause in Cause},
        )


def _grown(totals: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(totals)]
