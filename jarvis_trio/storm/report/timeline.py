"""The picture of prompts in time: an SVG that stands inside the HTML report.

Two lanes for each prompt on one axis: above, what its client saw; below, what the model server saw.
"""

from collections.abc import Iterator
from html import escape
from itertools import takewhile
from typing import Final

from jarvis_trio.storm.report import printable
from jarvis_trio.storm.trial import Row

MOST_ROWS: Final = 40
"""More prompts than this nobody reads; the last ones are drawn."""

WIDTH: Final = 1000
LEFT: Final = 84
RIGHT: Final = 236
PLOT: Final = WIDTH - LEFT - RIGHT
TOP: Final = 28
ROW_HEIGHT: Final = 34
LONGEST_ENDING: Final = 38

BEGIN: Final = {"sent", "arrival"}
END: Final = {"end", "left", "finished", "closed", "faulted"}
_CIRCLE: Final = "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0Z"
_CROSS: Final = "M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5"
_SQUARE: Final = "M-3-3H3V3H-3Z"
SHAPES: Final = {
    "sent": "M0-7V7",
    "arrival": "M0-7V7",
    "first byte": _CIRCLE,
    "first text": "M-3.5-4.5L4.5 0L-3.5 4.5Z",
    "text": "M0-3V3",
    "end": _SQUARE,
    "finished": _SQUARE,
    "left": _CROSS,
    "closed": _CROSS,
    "faulted": _CROSS,
}
"""What a moment looks like, round its point."""

LEGEND: Final = (
    ("sent", "sent, arrived"),
    ("first byte", "first byte"),
    ("first text", "first text"),
    ("text", "more text"),
    ("end", "ended"),
    ("left", "connection closed"),
)


def draw_timeline(rows: list[Row]) -> str:
    """Return the SVG of what the rows tell, with its legend; nothing in it is a link."""
    shown = rows[-MOST_ROWS:]
    times = [t_ms for row in shown for _, t_ms in (*row.client, *row.upstream)]
    if not times:
        return ""
    axis = _Axis(min(times), max(times))
    height = TOP + ROW_HEIGHT * len(shown) + 30
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="prompts in time">',
        *_draw_axis(axis, TOP + ROW_HEIGHT * len(shown)),
        *(_draw_row(row, axis, TOP + ROW_HEIGHT * index) for index, row in enumerate(shown)),
        *_draw_legend(height - 8),
        "</svg>",
    ]
    if len(shown) < len(rows):
        parts.append(f"<p>The last {len(shown)} of {len(rows)} prompts.</p>")
    return "\n".join(parts)


class _Axis:
    """Turns milliseconds into places."""

    def __init__(self, first_ms: float, last_ms: float) -> None:
        self.first_ms = first_ms
        self.last_ms = max(last_ms, first_ms + 1)

    def x(self, t_ms: float) -> float:
        return LEFT + PLOT * (t_ms - self.first_ms) / (self.last_ms - self.first_ms)

    def ticks(self) -> list[float]:
        """Return some round times: at most eleven."""
        span = self.last_ms - self.first_ms
        steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
        step = next(step for step in steps if span / step <= 10)
        first = -(-self.first_ms // step)
        every = (step * (first + number) for number in range(12))
        return list(takewhile(lambda t_ms: t_ms <= self.last_ms, every))


def _draw_axis(axis: _Axis, bottom: float) -> Iterator[str]:
    for t_ms in axis.ticks():
        x = f"{axis.x(t_ms):.1f}"
        yield f'<path class="grid" d="M{x} {TOP - 6}V{bottom}"/>'
        yield f'<text class="tick" x="{x}" y="{TOP - 12}">{t_ms:g}</text>'
    yield f'<text x="0" y="{TOP - 12}">ms</text>'


def _draw_row(row: Row, axis: _Axis, y: float) -> str:
    ending = printable(row.ending)
    short = ending if len(ending) <= LONGEST_ENDING else f"{ending[: LONGEST_ENDING - 1]}…"
    return "\n".join(
        [
            f"<g><title>{escape(printable(row.name))}: {escape(ending)}</title>",
            f'<text x="0" y="{y + 14}">{escape(printable(row.name))}</text>',
            f'<text x="{WIDTH - RIGHT + 14}" y="{y + 14}">{escape(short)}</text></g>',
            *_draw_lane(row.client, axis, y + 10, "client"),
            *_draw_lane(row.upstream, axis, y + 24, "upstream"),
        ]
    )


def _draw_lane(moments: list[tuple[str, float]], axis: _Axis, y: float, lane: str) -> Iterator[str]:
    for begin_ms, end_ms in _spans(moments, axis.last_ms):
        x, right = axis.x(begin_ms), axis.x(end_ms)
        yield (
            f'<rect class="{lane}" x="{x:.1f}" y="{y - 2.5}" '
            f'width="{max(right - x, 0.5):.1f}" height="5"/>'
        )
    for label, t_ms in moments:
        told = escape(f"{lane}: {printable(label)} at {t_ms:.1f} ms")
        yield (
            f'<path class="mark" transform="translate({axis.x(t_ms):.1f} {y})" '
            f'd="{SHAPES.get(label, _CIRCLE)}"><title>{told}</title></path>'
        )


def _spans(moments: list[tuple[str, float]], last_ms: float) -> Iterator[tuple[float, float]]:
    """Return from when to when something was open; what was never closed is open to the last."""
    open_since: list[float] = []
    for label, t_ms in moments:
        if label in BEGIN:
            open_since.append(t_ms)
        elif label in END and open_since:
            yield open_since.pop(0), t_ms
    for begin_ms in open_since:
        yield begin_ms, last_ms


def _draw_legend(y: float) -> Iterator[str]:
    x = LEFT
    for lane, told in (("client", "the client"), ("upstream", "the model server")):
        yield f'<rect class="{lane}" x="{x}" y="{y - 6}" width="18" height="5"/>'
        yield f'<text x="{x + 24}" y="{y}">{told}</text>'
        x += 40 + 7 * len(told)
    for label, told in LEGEND:
        yield f'<path class="mark" transform="translate({x} {y - 4})" d="{SHAPES[label]}"/>'
        yield f'<text x="{x + 10}" y="{y}">{told}</text>'
        x += 30 + 7 * len(told)
