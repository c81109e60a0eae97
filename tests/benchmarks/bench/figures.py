"""The numbers of the page, from what the rounds have kept: arithmetic only."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from tests.benchmarks.bench.arithmetic import (
    added_ttft_ms,
    begun,
    behind_ms,
    client_late_us,
    closing_ms,
    gaps_ms,
    kept_up,
    percentile,
    remarks,
    ttft_ms,
)
from tests.benchmarks.bench.figure import Figure
from tests.benchmarks.bench.record import FirstText, Load, Round, Stream
from tests.benchmarks.servers import OURS_WITH_DEBUG

IDLE_CORES = 0.005
"""A process that used less, such as a shell that waits for others, is not told."""


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
    tokens_per_second: Figure
    read_us: Figure | None
    process_cores: list[Figure]
    client_cores: Figure
    upstream_cores: Figure
    client_late_ms: Figure
    upstream_late_ms: Figure
    remarks: list[str]


class EventFigures(Struct):
    """What debug events and subscribers cost that nobody wants."""

    events: Figure
    frames: Figure
    debug_call_ns: Figure
    absent_subscriber_ns: Figure


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
    fresh_p50_ms: Figure | None
    fresh_p99_ms: Figure | None
    supersede_p50_ms: Figure | None
    supersede_p99_ms: Figure | None
    supersede_later_p50_ms: Figure | None
    supersede_later_p99_ms: Figure | None
    cold_start_ms: Figure | None
    import_ms: Figure | None
    bare_start_ms: Figure | None
    events: EventFigures | None

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
    def compared(self) -> list[ServerFigures]:
        """Return those that stand beside each other; what debugging costs is told by itself."""
        return [server for server in self.servers if server.name != OURS_WITH_DEBUG.name]

    @property
    def sizes(self) -> list[int]:
        """Return how many streams at once there were."""
        return sorted({load.streams for server in self.compared for load in server.loads})


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
        fresh_p50_ms=_firsts(rounds, "fresh", added_ttft_ms, 0.5),
        fresh_p99_ms=_firsts(rounds, "fresh", added_ttft_ms, 0.99),
        supersede_p50_ms=_firsts(rounds, "supersedes", added_ttft_ms, 0.5),
        supersede_p99_ms=_firsts(rounds, "supersedes", added_ttft_ms, 0.99),
        supersede_later_p50_ms=_later(rounds, 0.5),
        supersede_later_p99_ms=_later(rounds, 0.99),
        cold_start_ms=_figure({each.round: each.cold_starts_ms for each in rounds}, 0.5),
        import_ms=_figure({each.round: each.imports_ms for each in rounds}, 0.5),
        bare_start_ms=_figure({each.round: each.bare_starts_ms for each in rounds}, 0.5),
        events=_events([each for each in rounds if each.debug_frames]),
    )


def _firsts(
    rounds: list[Round], which: str, of: Callable[[FirstText], float], share: float
) -> Figure | None:
    return _figure({each.round: list(map(of, getattr(each, which))) for each in rounds}, share)


def _later(rounds: list[Round], share: float) -> Figure | None:
    fresh = _firsts(rounds, "fresh", ttft_ms, share)
    superseding = _firsts(rounds, "supersedes", ttft_ms, share)
    return superseding.minus(fresh) if superseding and fresh else None


def _events(rounds: list[Round]) -> EventFigures | None:
    call_ns = _figure({each.round: each.debug_call_ns for each in rounds}, 0.5)
    absent_ns = _figure({each.round: each.absent_subscriber_ns for each in rounds}, 0.5)
    if call_ns is None or absent_ns is None:
        return None
    return EventFigures(
        events=Figure({each.round: each.debug_lines for each in rounds}),
        frames=Figure({each.round: each.debug_frames for each in rounds}),
        debug_call_ns=call_ns,
        absent_subscriber_ns=absent_ns,
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

    def each_load(of: Callable[[Load], float]) -> Figure:
        return Figure({n: of(load) for n, load in loads.items()})

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
        rss_kb=each_load(lambda load: _memory_kb(load, "rss_bytes")),
        pss_kb=each_load(lambda load: _memory_kb(load, "pss_bytes")),
        tokens_per_second=each_load(lambda load: _tokens(load) / load.seconds),
        read_us=_figure({n: _read_us(load) for n, load in loads.items()}, 0.5),
        process_cores=_process_cores(loads),
        client_cores=each_load(lambda load: _cores(load.lateness.client_cpu_ns, load)),
        upstream_cores=each_load(lambda load: _cores(load.lateness.upstream_cpu_ns, load)),
        client_late_ms=each_load(lambda load: client_late_us(load.lateness) / 1000),
        upstream_late_ms=each_load(lambda load: load.lateness.upstream_p99_us / 1000),
        remarks=[f"round {n}: {remark}" for n, load in loads.items() for remark in remarks(load)],
    )


def _cpu_us(load: Load) -> list[float]:
    tokens = _tokens(load)
    return [load.cpu_ns / 1000 / tokens] if tokens else []


def _read_us(load: Load) -> list[float]:
    reads = sum(len(stream.reads) for stream in load.streams)
    return [load.cpu_ns / 1000 / reads] if reads else []


def _tokens(load: Load) -> int:
    return sum(stream.tokens for stream in load.streams)


def _cores(used_ns: int, load: Load) -> float:
    return used_ns / 1e9 / load.seconds


def _process_cores(loads: dict[int, Load]) -> list[Figure]:
    """Return what each process used, the busiest first, without those that only wait."""
    most = max(len(load.processes_cpu_ns) for load in loads.values())
    figures = [
        Figure(
            {
                n: _cores(load.processes_cpu_ns[place], load)
                for n, load in loads.items()
                if place < len(load.processes_cpu_ns)
            }
        )
        for place in range(most)
    ]
    return [figure for figure in figures if figure.median >= IDLE_CORES]


def _memory_kb(load: Load, which: str) -> float:
    grown: int = getattr(load.memory_amid, which) - getattr(load.memory_before, which)
    return grown / 1024 / max(load.open_amid, 1)
