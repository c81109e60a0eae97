"""What is aimed at, and whether it was reached."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from tests.benchmarks.bench.figure import Figure
from tests.benchmarks.bench.figures import LoadFigures, ServerFigures, Summary
from tests.benchmarks.peer import OURS

RATIOS = [("Starlette", 0.35, ""), ("LiteLLM", 0.06, ""), ("nginx", 2.5, ""), ("nginx", 1.0, "aim")]
AT = (100, 300)


class Target(Struct, frozen=True):
    """A limit, and what was measured; ``None`` where it was not.

    ``kept_up`` is False where one of those that were measured did not, and so means less.
    """

    what: str
    limit: float
    unit: str
    measured: Figure | None
    kept_up: bool = True

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
    return _load(summary.server(OURS), streams)


def _load(server: ServerFigures | None, streams: int) -> LoadFigures | None:
    return server.load(streams) if server else None


def _costs(summary: Summary) -> Iterator[Target]:
    for name, limit, kind in RATIOS:
        for streams in AT:
            what = f"CPU per token, {streams} streams, over {name}'s"
            one, other = _ours(summary, streams), _load(summary.server(name), streams)
            yield _ratio(f"{what} ({kind})" if kind else what, limit, one, other)


def _ratio(what: str, limit: float, one: LoadFigures | None, other: LoadFigures | None) -> Target:
    if one is None or other is None or one.cpu_us is None or other.cpu_us is None:
        return Target(what, limit, "times", None)
    ratio = one.cpu_us.over(other.cpu_us)
    return Target(what, limit, "times", ratio, one.kept_up and other.kept_up)


def _growth(summary: Summary) -> Iterator[Target]:
    what = "CPU per token, 1000 streams, over that of 100"
    yield _ratio(what, 1.15, _ours(summary, 1000), _ours(summary, 100))


def _latencies(summary: Summary) -> Iterator[Target]:
    some, many = _ours(summary, 300), _ours(summary, 1000)
    yield _of_load("added TTFT p50, 300 streams", 2, some, lambda load: load.ttft_p50_ms)
    yield _of_load("added TTFT p99, 300 streams", 15, some, lambda load: load.ttft_p99_ms)
    yield _of_load("added TTFT p99, 1000 streams", 250, many, lambda load: load.ttft_p99_ms)
    what = "pause p99 (the window), 1000 streams"
    yield _of_load(what, 250, many, lambda load: load.gap_p99_ms)
    starved = Figure({1: many.answers - many.whole}) if many else None
    yield Target("answers that were not whole, 1000 streams", 0, "", starved)


def _of_load(
    what: str,
    limit: float,
    load: LoadFigures | None,
    of: Callable[[LoadFigures], Figure | None],
    unit: str = "ms",
) -> Target:
    if load is None:
        return Target(what, limit, unit, None)
    return Target(what, limit, unit, of(load), load.kept_up)


def _others(summary: Summary) -> Iterator[Target]:
    ours = summary.server(OURS)
    what = "RSS per open stream, 300 streams"
    yield _of_load(what, 45, _ours(summary, 300), lambda load: load.rss_kb, "KiB")
    if ours is None:
        return
    yield Target("cold start to first answer", 1200, "ms", ours.cold_start_ms)
    live = f"{ours.busy_streams} live streams"
    yield Target(f"cancel to upstream closed p50, {live}", 1, "ms", ours.cancel_busy_p50_ms)
    yield Target(f"cancel to upstream closed p99, {live}", 10, "ms", ours.cancel_busy_p99_ms)
    later = "superseding, later than a prompt that supersedes nothing"
    yield Target(f"{later}, p50", 3, "ms", ours.supersede_later_p50_ms)
    yield Target(f"{later}, p99", 3, "ms", ours.supersede_later_p99_ms)
