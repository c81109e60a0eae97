"""The numbers of the page, from what the rounds have kept: arithmetic only."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from msgspec import Struct

from tests.benchmarks.bench.arithmetic import (
    added_ttft_ms,
    begun,
    behind_ms,
    closing_ms,
    gaps_ms,
    kept_up,
    percentile,
    remarks,
)
from tests.benchmarks.bench.record import Load, Round, Stream


class Figure(Struct):
    """One number, as each round found it."""

    rounds: dict[int, float]

    @property
    def median(self) -> float:
        """Return what is told."""
        return median(self.rounds.values())

    @property
    def low(self) -> float:
        """Return the least of all rounds."""
        return min(self.rounds.values())

    @property
    def high(self) -> float:
        """Return the most of all rounds."""
        return max(self.rounds.values())

    def over(self, other: "Figure") -> "Figure | None":
        """Return how many times the other it is, round by round."""
        both = self.rounds.keys() & other.rounds.keys()
        ratios = {number: self.rounds[number] / other.rounds[number] for number in sorted(both)}
        return Figure(ratios) if ratios else None


class LoadFigures(Struct):
    """What so many streams cost, and how they came; ``None`` where nothing came at all."""

    streams: int
    whole: int
    answers: int
    kept_up: bool
    cpu_us: Figure | None
    ttft_p50_ms: Figure | None
    ttft_p99_ms: Figure | None
    gap_p50_ms: Figure | None
    gap_p99_ms: Figure | None
    behind_p99_ms: Figure | None
    rss_kb: Figure
    pss_kb: Figure
    remarks: list[str]


class ServerFigures(Struct):
    """All numbers of one server."""

    name: str
    what: str
    versions: str
    command: str
    missing: str | None
    skipped: list[str]
    files: list[str]
    busy_streams: int
    loads: list[LoadFigures]
    cancel_idle_p50_ms: Figure | None
    cancel_idle_p99_ms: Figure | None
    cancel_busy_p50_ms: Figure | None
    cancel_busy_p99_ms: Figure | None
    unclosed: int
    supersede_p50_ms: Figure | None
    supersede_p99_ms: Figure | None
    cold_start_ms: Figure | None
    import_ms: Figure | None
    bare_start_ms: Figure | None

    def load(self, streams: int) -> LoadFigures | None:
        """Return those of so many streams."""
        return next((each for each in self.loads if each.streams == streams), None)


class Summary(Struct):
    """What docs/performance.md is written from."""

    system: list[str]
    dates: list[str]
    runs: list[str]
    rounds: int
    servers: list[ServerFigures]

    def server(self, name: str) -> ServerFigures | None:
        """Return the one of that name, if it was measured."""
        named = (each for each in self.servers if each.name == name and each.missing is None)
        return next(named, None)

    @property
    def sizes(self) -> list[int]:
        """Return how many streams at once there were."""
        return sorted({load.streams for server in self.servers for load in server.loads})


def summarise(rounds: Sequence[tuple[str, Round]]) -> Summary:
    """Return the numbers of all rounds, each given with the name of its file."""
    names = list(dict.fromkeys(each.server for _, each in rounds))
    return Summary(
        system=_different(each.system for _, each in rounds),
        dates=_different(f"{each.measured_at:%Y-%m-%d}" for _, each in rounds),
        runs=_different(each.run for _, each in rounds),
        rounds=max((each.round for _, each in rounds), default=0),
        servers=[_server([pair for pair in rounds if pair[1].server == name]) for name in names],
    )


def _different(told: Iterable[str]) -> list[str]:
    return sorted(set(told))


def _server(pairs: list[tuple[str, Round]]) -> ServerFigures:
    rounds = [each for _, each in pairs]
    last = rounds[-1]
    sizes = sorted({load.streams_wanted for each in rounds for load in each.loads})
    idle, busy = _closings(rounds, "departures_idle"), _closings(rounds, "departures_busy")
    superseding = {
        each.round: [added_ttft_ms(superseding) for superseding in each.supersedes]
        for each in rounds
    }
    return ServerFigures(
        name=last.server,
        what=last.what,
        versions=last.versions,
        command=last.command,
        missing=last.missing,
        skipped=list(dict.fromkeys(told for each in rounds for told in each.skipped)),
        files=[file for file, _ in pairs],
        busy_streams=max(each.busy_streams for each in rounds),
        loads=[_load(size, rounds) for size in sizes],
        cancel_idle_p50_ms=_figure(idle, 0.5),
        cancel_idle_p99_ms=_figure(idle, 0.99),
        cancel_busy_p50_ms=_figure(busy, 0.5),
        cancel_busy_p99_ms=_figure(busy, 0.99),
        unclosed=sum(
            not gone.closed_ns
            for each in rounds
            for gone in (*each.departures_idle, *each.departures_busy)
        ),
        supersede_p50_ms=_figure(superseding, 0.5),
        supersede_p99_ms=_figure(superseding, 0.99),
        cold_start_ms=_figure({each.round: each.cold_starts_ms for each in rounds}, 0.5),
        import_ms=_figure({each.round: each.imports_ms for each in rounds}, 0.5),
        bare_start_ms=_figure({each.round: each.bare_starts_ms for each in rounds}, 0.5),
    )


def _figure(rounds: dict[int, list[float]], share: float) -> Figure | None:
    found = {number: percentile(values, share) for number, values in rounds.items()}
    known = {number: value for number, value in found.items() if value is not None}
    return Figure(known) if known else None


def _closings(rounds: list[Round], which: str) -> dict[int, list[float]]:
    return {each.round: [closing_ms(gone) for gone in getattr(each, which)] for each in rounds}


def _load(size: int, rounds: list[Round]) -> LoadFigures:
    loads = {
        each.round: load for each in rounds for load in each.loads if load.streams_wanted == size
    }

    def figure(of: Callable[[Stream], float], share: float) -> Figure | None:
        return _figure({n: list(map(of, begun(load))) for n, load in loads.items()}, share)

    gaps = {n: [gap for s in load.streams for gap in gaps_ms(s)] for n, load in loads.items()}
    answers = [stream for load in loads.values() for stream in load.streams]
    return LoadFigures(
        streams=size,
        whole=sum(not stream.fault for stream in answers),
        answers=len(answers),
        kept_up=all(map(kept_up, loads.values())),
        cpu_us=_figure({n: _cpu_us(load) for n, load in loads.items()}, 0.5),
        ttft_p50_ms=figure(added_ttft_ms, 0.5),
        ttft_p99_ms=figure(added_ttft_ms, 0.99),
        gap_p50_ms=_figure(gaps, 0.5),
        gap_p99_ms=_figure(gaps, 0.99),
        behind_p99_ms=_figure({n: behind_ms(load) for n, load in loads.items()}, 0.99),
        rss_kb=Figure({n: _memory_kb(load, "rss_bytes") for n, load in loads.items()}),
        pss_kb=Figure({n: _memory_kb(load, "pss_bytes") for n, load in loads.items()}),
        remarks=[f"round {n}: {remark}" for n, load in loads.items() for remark in remarks(load)],
    )


def _cpu_us(load: Load) -> list[float]:
    tokens = sum(stream.tokens for stream in load.streams)
    return [load.cpu_ns / 1000 / tokens] if tokens else []


def _memory_kb(load: Load, which: str) -> float:
    grown: int = getattr(load.memory_amid, which) - getattr(load.memory_before, which)
    return grown / 1024 / max(load.open_amid, 1)
