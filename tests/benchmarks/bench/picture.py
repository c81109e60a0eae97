"""docs/performance.svg: CPU per token by the number of streams, a line for each server."""

import math
from collections.abc import Iterator
from itertools import cycle

from tests.benchmarks.bench.figures import ServerFigures, Summary
from tests.benchmarks.peer import OURS

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 50, 60
COLOURS = ["#c2410c", "#2563eb", "#7c3aed", "#15803d", "#be185d", "#64748b", "#0891b2"]
TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
LABEL_GAP = 15


class _Scale:
    """Places on the picture: streams evenly from left to right, microseconds logarithmically."""

    def __init__(self, sizes: list[int], costs: list[float]) -> None:
        self.sizes = sizes
        self.low = max((tick for tick in TICKS if tick <= min(costs)), default=TICKS[0])
        self.high = min((tick for tick in TICKS if tick >= max(costs)), default=TICKS[-1])
        if self.low == self.high:
            self.high *= 2

    def x(self, streams: int) -> float:
        steps = max(len(self.sizes) - 1, 1)
        return LEFT + (WIDTH - LEFT - RIGHT) * self.sizes.index(streams) / steps

    def y(self, cost: float) -> float:
        share = math.log(cost / self.low) / math.log(self.high / self.low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def draw(summary: Summary) -> str:
    """Return the picture, as SVG."""
    servers = [server for server in summary.compared if _points(server)]
    costs = [cost for server in servers for _, cost in _points(server)]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#1e293b">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 26, "CPU per token, microseconds (logarithmic), by streams at once", size=15),
    ]
    if costs:
        scale = _Scale(summary.sizes, costs)
        lines += [*_axes(scale), *_lines(scale, servers)]
    return "\n".join([*lines, "</svg>", ""])


def _points(server: ServerFigures) -> list[tuple[int, float]]:
    return [(load.streams, load.cpu_us.median) for load in server.loads if load.cpu_us]


def _axes(scale: _Scale) -> Iterator[str]:
    for tick in TICKS:
        if scale.low <= tick <= scale.high:
            y = scale.y(tick)
            yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e2e8f0"/>'
            yield _text(LEFT - 8, y + 4, str(tick), anchor="end")
    for size in scale.sizes:
        yield _text(scale.x(size), HEIGHT - BOTTOM + 22, f"{size:,}", anchor="middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "streams at once", anchor="middle")


def _lines(scale: _Scale, servers: list[ServerFigures]) -> Iterator[str]:
    ends = []
    for colour, server in zip(cycle(COLOURS), servers, strict=False):
        points = [(scale.x(streams), scale.y(cost)) for streams, cost in _points(server)]
        width = 3 if server.name == OURS else 1.5
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        for x, y in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{width + 1:g}" fill="{colour}"/>'
        ends.append((points[-1], server.name, colour))
    yield from _names(ends)


def _names(ends: list[tuple[tuple[float, float], str, str]]) -> Iterator[str]:
    """Name each line at its end, below the name above it."""
    taken: list[tuple[float, float]] = []
    for (x, y), name, colour in sorted(ends, key=lambda end: end[0][1]):
        at = max([y, *(other + LABEL_GAP for where, other in taken if where == x)])
        taken.append((x, at))
        yield _text(x + 10, at + 4, name, fill=colour)


def _text(
    x: float, y: float, said: str, *, anchor: str = "start", size: int = 13, fill: str = "#1e293b"
) -> str:
    look = f'text-anchor="{anchor}" font-size="{size}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{said}</text>'
