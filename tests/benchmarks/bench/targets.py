"""What is aimed at, and whether it was reached."""

from collections.abc import Iterator

from msgspec import Struct

from tests.benchmarks.bench.figures import Figure, LoadFigures, Summary
from tests.benchmarks.peer import OURS

RATIOS = [("Starlette", 0.35, ""), ("LiteLLM", 0.06, ""), ("nginx", 2.5, ""), ("nginx", 1.0, "aim")]
AT = (100, 300)


class Target(Struct, frozen=True):
    """A limit, and what was measured; ``None`` where it was not."""

    what: str
    limit: float
    unit: str
    measured: Figure | None

    @property
    def verdict(self) -> str:
        """Return whether it was met, or by how much it was missed."""
        if self.measured is None:
            return "not measured"
        if self.measured.median <= self.limit:
            return "met"
        if not self.limit:
            return f"**missed** by {self.measured.median:g}"
        return f"**missed** by {100 * (self.measured.median / self.limit - 1):.0f} %"


def targets(summary: Summary) -> Iterator[Target]:
    """Return them all, in the order of the page."""
    yield from _costs(summary)
    yield from _growth(summary)
    yield from _latencies(summary)
    yield from _others(summary)


def _ours(summary: Summary, streams: int) -> LoadFigures | None:
    ours = summary.server(OURS)
    return ours.load(streams) if ours else None


def _costs(summary: Summary) -> Iterator[Target]:
    for name, limit, kind in RATIOS:
        for streams in AT:
            server = summary.server(name)
            ratio = _ratio(_ours(summary, streams), server.load(streams) if server else None)
            what = f"CPU per token, {streams} streams, over {name}'s"
            yield Target(f"{what} ({kind})" if kind else what, limit, "times", ratio)


def _ratio(one: LoadFigures | None, other: LoadFigures | None) -> Figure | None:
    if one is None or other is None or one.cpu_us is None or other.cpu_us is None:
        return None
    return one.cpu_us.over(other.cpu_us)


def _growth(summary: Summary) -> Iterator[Target]:
    ratio = _ratio(_ours(summary, 1000), _ours(summary, 100))
    yield Target("CPU per token, 1000 streams, over that of 100", 1.15, "times", ratio)


def _latencies(summary: Summary) -> Iterator[Target]:
    some, many = _ours(summary, 300), _ours(summary, 1000)
    yield Target("added TTFT p50, 300 streams", 2, "ms", some.ttft_p50_ms if some else None)
    yield Target("added TTFT p99, 300 streams", 15, "ms", some.ttft_p99_ms if some else None)
    yield Target("added TTFT p99, 1000 streams", 250, "ms", many.ttft_p99_ms if many else None)
    yield Target(
        "pause p99 (the window), 1000 streams", 250, "ms", many.gap_p99_ms if many else None
    )
    starved = Figure({1: many.answers - many.whole}) if many else None
    yield Target("answers that were not whole, 1000 streams", 0, "", starved)


def _others(summary: Summary) -> Iterator[Target]:
    ours = summary.server(OURS)
    some = _ours(summary, 300)
    yield Target("RSS per open stream, 300 streams", 45, "KiB", some.rss_kb if some else None)
    if ours is None:
        return
    yield Target("cold start to first answer", 1200, "ms", ours.cold_start_ms)
    live = f"{ours.busy_streams} live streams"
    yield Target(f"cancel to upstream closed p50, {live}", 1, "ms", ours.cancel_busy_p50_ms)
    yield Target(f"cancel to upstream closed p99, {live}", 10, "ms", ours.cancel_busy_p99_ms)
    yield Target("supersede beyond the model's own TTFT p50", 3, "ms", ours.supersede_p50_ms)
    yield Target("supersede beyond the model's own TTFT p99", 3, "ms", ours.supersede_p99_ms)
