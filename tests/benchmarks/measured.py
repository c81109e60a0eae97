"""What a run might have kept, for tests of what is made of it."""

from datetime import UTC, datetime

import msgspec

from tests.benchmarks.bench.accounting import Memory
from tests.benchmarks.bench.figures import Summary, summarise
from tests.benchmarks.bench.record import Lateness, Load, Round, Stream

MS = 1_000_000
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def stream(fault: str | None = None, late_ms: int = 0) -> Stream:
    """A stream whose model server took 50 ms, and the server 2 ms more."""
    return Stream(
        sent_ns=100 * MS,
        first_text_ns=152 * MS + late_ms * MS,
        reads=[(52_000, 1), (127_000, 4), (232_000 + 1000 * late_ms, 5)],
        fault=fault,
        arrived_ns=101 * MS,
        upstream_first_ns=151 * MS,
        upstream_last_ns=250 * MS,
    )


def load(cost_us: float, *streams: Stream, size: int = 100) -> Load:
    told = list(streams) or [stream()]
    return Load(
        streams_wanted=size,
        tokens_each=10,
        seconds=5,
        cpu_ns=int(cost_us * 1000) * 10 * len(told),
        machine_busy_ns=int(cost_us * 1000) * 10 * len(told) + 2000 * MS,
        memory_before=Memory(1024 * 1000, 0),
        memory_amid=Memory(1024 * 1800, 0),
        open_amid=10,
        lateness=Lateness(1000, 1000, 1000, 1000, 1000 * MS, 1000 * MS),
        streams=told,
    )


def measured(server: str, number: int, *loads: Load) -> tuple[str, Round]:
    found = Round("one", number, server, "a server", AT, "Linux", "one 1.0", "serve it")
    found.loads = list(loads)
    return f"{server}.{number}.json", found


def told_of(*rounds: tuple[str, Round]) -> Summary:
    summary = summarise(rounds)
    return msgspec.json.decode(msgspec.json.encode(summary), type=Summary)
