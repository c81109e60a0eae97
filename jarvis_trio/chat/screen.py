"""The lower end of a terminal: rows that are drawn again, below rows that stay. Pure."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from msgspec import Struct

HIDE: Final = "\x1b[?2026h\x1b[?25l"
"""And draw at once what follows: terminals that can do that do not flicker."""

SHOW: Final = "\x1b[?25h\x1b[?2026l"


class Row(Struct, frozen=True):
    """One row: what is sent for it, and how many cells that fills."""

    sent: str
    cells: int


class Screen:
    """Knows what it has drawn, and sends only what changes. The last row is the cursor's."""

    def __init__(self) -> None:
        self._live: list[Row] = []
        self._column = 0
        self._width = 0

    def draw(self, above: Sequence[Row], live: Sequence[Row], column: int, width: int) -> str:
        """Return what makes ``above`` stand over ``live``, for good, and ``live`` the lower end.

        ``live`` has at least one row and fits the terminal; ``column`` is the cursor's, in the last
        of its rows. "" when there is nothing to do.
        """
        kept = 0
        if not above and width == self._width and self._live:
            if list(live) == self._live and column == self._column:
                return ""
            pairs = zip(self._live, live, strict=False)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            kept = min(same, len(self._live) - 1, len(live) - 1)
        rows = [*above, *live[kept:]]
        text = "\r\n".join(f"\x1b[2K{row.sent}" for row in rows)
        cursor = f"\x1b[{column}C" if column else ""
        drawn = f"{HIDE}{self._back_to(kept, width)}{text}\x1b[J\r{cursor}{SHOW}"
        self._live, self._column, self._width = list(live), column, width
        return drawn

    def clear(self, above: Sequence[Row] = ()) -> str:
        """Return what takes the live rows away, and leaves the cursor below ``above``."""
        text = "".join(f"\x1b[2K{row.sent}\r\n" for row in above)
        drawn = f"{HIDE}{self._back_to(0, self._width)}\x1b[J{text}{SHOW}"
        self.forget()
        return drawn

    def forget(self) -> None:
        """Take note that the cursor stands in an empty row."""
        self._live, self._column = [], 0

    def _back_to(self, row: int, width: int) -> str:
        """Return what moves the cursor to the beginning of one of the live rows.

        A terminal that has become narrower has broken its rows anew.
        """
        if not self._live:
            return "\r"
        heights = [max(1, -(-each.cells // max(1, width))) for each in self._live]
        below = sum(heights[row:-1])
        if 0 < width < self._width:
            below += self._column // width
        return f"\r\x1b[{below}A" if below else "\r"
