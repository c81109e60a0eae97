"""The measurements, each over a fresh server: load, departures, superseding, starting."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from tests.benchmarks.bench.accounting import Memory, cpu_ns, machine_busy_ns, memory
from tests.benchmarks.bench.answer import answer_of
from tests.benchmarks.bench.arena import ANSWER_SECONDS, Arena, Seen
from tests.benchmarks.bench.client import Reading
from tests.benchmarks.bench.record import Departure, Lateness, Load, Stream, Supersede
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
    cpu_ns: int
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
    records = arena.upstream.told().records if arena.peer.is_behind_sim else {}
    told = [_stream(reading, records.get(reading.asked.marker)) for reading in readings]
    return Load(
        streams_wanted=streams,
        tokens_each=tokens,
        seconds=(last.at_ns - first.at_ns) / 1e9,
        cpu_ns=last.cpu_ns - first.cpu_ns,
        machine_busy_ns=last.machine_ns - first.machine_ns,
        memory_before=before,
        memory_amid=amid[0][0],
        open_amid=amid[0][1],
        lateness=_lateness(arena, first, last),
        streams=told,
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
        upstream_ns=cpu_ns(arena.upstream.pid),
        client_ns=time.process_time_ns(),
        machine_ns=machine_busy_ns(),
    )


def _lateness(arena: Arena, first: _Clocks, last: _Clocks) -> Lateness:
    told = arena.upstream.told()
    held = sorted(arena.client.held_us)
    return Lateness(
        upstream_p99_us=told.late_p99_us,
        upstream_max_us=told.late_max_us,
        client_p99_us=held[len(held) * 99 // 100],
        client_max_us=held[-1],
        upstream_cpu_ns=last.upstream_ns - first.upstream_ns,
        client_cpu_ns=last.client_ns - first.client_ns,
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
    left_ns = client.leave(reading)
    deadline = time.monotonic() + CLOSED_SECONDS
    closed_ns = 0
    while not closed_ns and time.monotonic() < deadline:
        client.pause(POLL_SECONDS)
        closed_ns = arena.upstream.told().records[reading.asked.marker].closed_ns
    return Departure(left_ns, closed_ns)


def supersedes(arena: Arena, count: int) -> list[Supersede]:
    """Let each prompt of one session supersede the one before, while that is being answered."""
    client = arena.client
    asked: list[Reading] = []
    for number in range(count + 1):
        reading = client.ask(arena.asked(ENDLESS_TOKENS, FIRST_MS), session="bench")
        if not client.run_until_text(reading, ANSWER_SECONDS):
            raise NotHereError("a prompt that superseded had no text")
        asked.append(reading)
        client.pause(PHASES_MS[number % len(PHASES_MS)] / 1000)
    if len(client.live) != 1:
        raise NotHereError(f"{len(client.live)} answers of one session are live")
    client.leave(asked[-1])
    seen = arena.upstream.told().records
    return [_supersede(reading, seen[reading.asked.marker]) for reading in asked[1:]]


def _supersede(reading: Reading, seen: Seen) -> Supersede:
    return Supersede(reading.sent_ns, reading.first_text_ns, seen.arrived_ns, seen.first_ns)
