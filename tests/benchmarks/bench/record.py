"""What a run keeps: enough of it to compute every number of the page again.

Moments are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share; 0 is never.
"""

from datetime import datetime

from msgspec import Struct

from tests.benchmarks.bench.accounting import Memory


class Stream(Struct):
    """One answer under load, as the model server and as the client saw it."""

    sent_ns: int
    first_text_ns: int
    reads: list[tuple[int, int]]
    """For each read that brought text: microseconds after the prompt, and how many tokens."""

    fault: str | None
    arrived_ns: int = 0
    upstream_first_ns: int = 0
    upstream_last_ns: int = 0

    @property
    def tokens(self) -> int:
        """Count what came."""
        return sum(count for _, count in self.reads)


class Lateness(Struct):
    """How late the benchmark's own processes were, and what they used."""

    upstream_p99_us: int
    upstream_max_us: int
    client_p99_us: int
    client_max_us: int
    upstream_cpu_ns: int
    client_cpu_ns: int
    asked_p99_us: int = 0
    """How much later than planned the client sent its prompts."""


class Load(Struct):
    """So many streams at once, and what they cost the server."""

    streams_wanted: int
    tokens_each: int
    seconds: float
    """From before the first prompt to after the last token."""

    cpu_ns: int
    machine_busy_ns: int
    memory_before: Memory
    memory_amid: Memory
    open_amid: int
    lateness: Lateness
    streams: list[Stream]
    processes_cpu_ns: list[int] = []
    """``cpu_ns`` by the server's processes, the busiest first."""


class Departure(Struct):
    """A client that left, and when the model server saw its connection closed."""

    left_ns: int
    closed_ns: int


class FirstText(Struct):
    """One prompt as far as its first text, on a server that does nothing else."""

    sent_ns: int
    first_text_ns: int
    arrived_ns: int
    upstream_first_ns: int


class Round(Struct):
    """All that one round measured of one server, or why it did not."""

    run: str
    round: int
    server: str
    what: str
    measured_at: datetime
    system: str
    versions: str = ""
    command: str = ""
    missing: str | None = None
    skipped: list[str] = []
    loads: list[Load] = []
    departures_idle: list[Departure] = []
    departures_busy: list[Departure] = []
    busy_streams: int = 0
    fresh: list[FirstText] = []
    supersedes: list[FirstText] = []
    """Prompts that ended nothing, and those that ended another's answer, in turn."""

    cold_starts_ms: list[float] = []
    imports_ms: list[float] = []
    bare_starts_ms: list[float] = []
    debug_lines: int = 0
    debug_frames: int = 0
    """What one answer told a log of the level debug, and in how many frames it came."""

    debug_call_ns: list[float] = []
    absent_subscriber_ns: list[float] = []
