"""The measurements, each over a fresh server: load, departures, superseding, starting."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from msgspec import Struct

from tests.benchmarks.bench.accounting import Memory, cpu_ns, machine_busy_ns, memory, used_since
from tests.benchmarks.bench.answer import answer_of
from tests.benchmarks.bench.arena import ANSWER_SECONDS, Arena, Seen
from tests.benchmarks.bench.arithmetic import percentile
from tests.benchmarks.bench.client import Reading
from tests.benchmarks.bench.record import Departure, FirstText, Lateness, Load, Stream
from tests.benchmarks.bench.tokens import TOKENS_PER_SECOND
from tests.benchmarks.peer import NotHereError

FIRST_MS = 50
"""How long the model server takes for its first token."""

LONGEST_SECONDS = 60
"""What a measurement may take; what is missing then is said to be missing."""

ENDLESS_TOKENS = 10 * LONGEST_SECONDS * TOKENS_PER_SECOND
CLOSED_SECONDS = 5
POLL_SECONDS = 0.01
PHASES_MS = [0, 31, 62, 18, 49, 5, 36, 67, 23, 54, 10, 41, 72]
"""How long after the first text a client leaves: at any moment of a gateway's window."""


class _Clocks(Struct):
    at_ns: int
    cpu_ns: dict[int, int]
    upstream_ns: int
    client_ns: int
    machine_ns: int


def load(arena: Arena, streams: int, seconds: float) -> Load:
    """Let so many streams run at once, which begin within a second, and tell what they cost."""
    tokens = max(1, int(seconds * TOKENS_PER_SECOND))
    spread = min(1.0, seconds / 4)
    client = arena.client
    readings: list[Reading] = []
    amid: list[tuple[Memory, int]] = []
    with _undisturbed():
        before = memory(arena.pid)
        first = _clocks(arena)
        for number in range(streams):
            at_ns = first.at_ns + int(spread * 1e9 * number / streams)
            client.plan(at_ns, lambda: readings.append(client.ask(arena.asked(tokens, FIRST_MS))))
        middle_ns = first.at_ns + int((spread + seconds) / 2 * 1e9)
        client.plan(middle_ns, lambda: amid.append((memory(arena.pid), len(client.live))))
        client.run(lambda: not client.live and amid, LONGEST_SECONDS)
        last = _clocks(arena)
    used = used_since(first.cpu_ns, last.cpu_ns)
    records = arena.upstream.told().records if arena.peer.is_behind_sim else {}
    told = [_stream(reading, records.get(reading.asked.marker)) for reading in readings]
    return Load(
        streams_wanted=streams,
        tokens_each=tokens,
        seconds=(last.at_ns - first.at_ns) / 1e9,
        cpu_ns=sum(used),
        machine_busy_ns=last.machine_ns - first.machine_ns,
        memory_before=before,
        memory_amid=amid[0][0],
        open_amid=amid[0][1],
        lateness=_lateness(arena, first, last),
        streams=told,
        processes_cpu_ns=used,
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _clocks(arena: Arena) -> _Clocks:
    return _Clocks(
        at_ns=time.monotonic_ns(),
        cpu_ns=cpu_ns(arena.pid),
        upstream_ns=sum(cpu_ns(arena.upstream.pid).values()),
        client_ns=time.process_time_ns(),
        machine_ns=machine_busy_ns(),
    )


def _lateness(arena: Arena, first: _Clocks, last: _Clocks) -> Lateness:
    told = arena.upstream.told()
    client = arena.client
    return Lateness(
        upstream_p99_us=told.late_p99_us,
        upstream_max_us=told.late_max_us,
        client_p99_us=int(percentile(client.held_us, 0.99) or 0),
        client_max_us=max(client.held_us, default=0),
        upstream_cpu_ns=last.upstream_ns - first.upstream_ns,
        client_cpu_ns=last.client_ns - first.client_ns,
        asked_p99_us=int(percentile(client.late_us, 0.99) or 0),
    )


def _stream(reading: Reading, seen: Seen | None) -> Stream:
    answer = answer_of(reading.asked, reading.reads, reading.failure)
    seen = seen or _as_if_seen(reading)
    return Stream(
        sent_ns=reading.sent_ns,
        first_text_ns=reading.first_text_ns,
        reads=[((at_ns - reading.sent_ns) // 1000, count) for at_ns, count in answer.reads],
        fault=answer.fault,
        arrived_ns=seen.arrived_ns,
        upstream_first_ns=seen.first_ns,
        upstream_last_ns=seen.last_ns,
    )


def _as_if_seen(reading: Reading) -> Seen:
    """Return the schedule that the floor, which is its own model server, should have kept."""
    first_ns = reading.sent_ns + reading.asked.first_ms * 1_000_000
    last_ns = first_ns + (reading.asked.tokens - 1) * 1_000_000_000 // TOKENS_PER_SECOND
    return Seen(arrived_ns=reading.sent_ns, first_ns=first_ns, last_ns=last_ns)


def departures(arena: Arena, count: int, live: int = 0) -> list[Departure]:
    """Let clients leave one after another, while ``live`` others go on reading."""
    client = arena.client
    for _ in range(live):
        client.ask(arena.asked(ENDLESS_TOKENS, FIRST_MS))
    client.run(
        lambda: all(reading.has_text_or_ended for reading in client.live.values()), ANSWER_SECONDS
    )
    deadline = time.monotonic() + LONGEST_SECONDS
    left = [
        _depart(arena, PHASES_MS[number % len(PHASES_MS)])
        for number in range(count)
        if time.monotonic() < deadline
    ]
    if len(client.live) < live:
        raise NotHereError(f"of {live} streams only {len(client.live)} were still being read")
    return left


def _depart(arena: Arena, phase_ms: int) -> Departure:
    client = arena.client
    reading = client.ask(arena.asked(ENDLESS_TOKENS, FIRST_MS))
    if not client.run_until_text(reading, ANSWER_SECONDS):
        raise NotHereError("a stream had no text")
    client.pause(phase_ms / 1000)
    return _leave(arena, reading)


def _leave(arena: Arena, reading: Reading) -> Departure:
    """Leave, and read on until the model server has seen it, if it does."""
    left_ns = arena.client.leave(reading)
    deadline = time.monotonic() + CLOSED_SECONDS
    closed_ns = 0
    while not closed_ns and time.monotonic() < deadline:
        arena.client.pause(POLL_SECONDS)
        closed_ns = arena.upstream.told().records[reading.asked.marker].closed_ns
    return Departure(left_ns, closed_ns)


def supersedes(arena: Arena, count: int) -> tuple[list[FirstText], list[FirstText]]:
    """Ask a prompt that ends nothing, then one that supersedes it, again and again.

    Returns what came of the ones and of the others. Each pair has a session of its own, and begins
    when nothing is left of the pair before, so that the two differ in nothing else.
    """
    pairs = []
    for number in range(count):
        session = f"bench-{number}"
        fresh = _first_text(arena, session)
        arena.client.pause(PHASES_MS[number % len(PHASES_MS)] / 1000)
        superseding = _first_text(arena, session)
        if not arena.client.run(partial(_is_alone, arena), ANSWER_SECONDS):
            raise NotHereError(f"{len(arena.client.live)} answers of one session are live")
        pairs.append((fresh, superseding))
        if not _leave(arena, superseding).closed_ns:
            raise NotHereError("an answer whose client has left goes on")
    seen = arena.upstream.told().records
    fresh_ones, superseding_ones = (
        [_as_told(reading, seen[reading.asked.marker]) for reading in readings]
        for readings in zip(*pairs, strict=True)
    )
    return fresh_ones, superseding_ones


def _is_alone(arena: Arena) -> bool:
    return len(arena.client.live) == 1


def _first_text(arena: Arena, session: str) -> Reading:
    reading = arena.client.ask(arena.asked(ENDLESS_TOKENS, FIRST_MS), session)
    if not arena.client.run_until_text(reading, ANSWER_SECONDS):
        raise NotHereError("a prompt had no text")
    return reading


def _as_told(reading: Reading, seen: Seen) -> FirstText:
    return FirstText(reading.sent_ns, reading.first_text_ns, seen.arrived_ns, seen.first_ns)
