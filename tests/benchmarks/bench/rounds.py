"""The rounds: each measurement of all servers in turn, then the next, and all of it again."""

import math
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from tests.benchmarks.bench.arena import arena
from tests.benchmarks.bench.arithmetic import (
    closing_ms,
    kept_up,
    percentile,
    remarks,
    ttft_ms,
)
from tests.benchmarks.bench.events import debug_events, unwanted
from tests.benchmarks.bench.measure import departures, load, supersedes
from tests.benchmarks.bench.record import Round
from tests.benchmarks.bench.starting import bare_start_ms, cold_start_ms, import_ms
from tests.benchmarks.bench.tokens import TOKENS_PER_SECOND
from tests.benchmarks.peer import FOLDER, OURS, NotHereError, Peer
from tests.benchmarks.servers import OURS_TWICE, OURS_WITH_DEBUG

STREAMS_ONLY = {OURS_TWICE.name: (300, 500, 1000), OURS_WITH_DEBUG.name: (100,)}
"""Those of which nothing else is measured, and with how many streams: fewer are too few for a
second process, and more than a log can take."""


class Plan(Struct, frozen=True):
    """How much is measured."""

    rounds: int = 2
    streams: Sequence[int] = (1, 100, 300, 500, 1000)
    seconds: float = 4
    departures: int = 50
    busy_streams: int = 100
    supersedes: int = 100
    cold_starts: int = 3
    imports: int = 5
    silences: int = 3
    streams_only: Mapping[str, Sequence[int]] = field(default_factory=STREAMS_ONLY.copy)


TINY_STREAMS = 20
"""Of fewer, the kernel may give one of two processes none."""

TINY = Plan(
    1,
    (TINY_STREAMS,),
    0.2,
    departures=3,
    busy_streams=3,
    supersedes=3,
    cold_starts=1,
    imports=1,
    silences=1,
    streams_only={OURS_TWICE.name: (TINY_STREAMS,), OURS_WITH_DEBUG.name: (TINY_STREAMS,)},
)
"""For correctness only: its numbers mean nothing."""

T = TypeVar("T")
Step = Callable[[Peer, Round], str]


def measure(peers: Sequence[Peer], plan: Plan, folder: Path) -> None:
    """Measure them all; what is found is in ``folder`` as soon as it is found."""
    run = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    for peer in peers:
        for stale in folder.glob(f"{_slug(peer)}.*.json"):
            stale.unlink()
    versions = {peer.name: _prepared(peer) for peer in peers}
    for number in range(1, plan.rounds + 1):
        found = [(peer, _begin(run, number, peer, versions[peer.name])) for peer in peers]
        for name, step in steps(plan):
            for peer, of_peer in in_turn(found, number):
                if of_peer.missing is None:
                    _take(name, step, peer, of_peer)
                _keep(folder, peer, of_peer)


def in_turn(servers: Sequence[T], number: int) -> Sequence[T]:
    """Return them in the order of a round: nobody always finds what the same other left behind."""
    return servers if number % 2 else servers[::-1]


def kept(peers: Sequence[Peer], folder: Path) -> list[tuple[str, Round]]:
    """Return what is kept of the last measurement of each server, with the files' names."""
    files = [file for peer in peers for file in sorted(folder.glob(f"{_slug(peer)}.*.json"))]
    return [(file.name, msgspec.json.decode(file.read_bytes(), type=Round)) for file in files]


def steps(plan: Plan) -> Iterator[tuple[str, Step]]:
    """Return the measurements of a round, in their order."""
    for streams in plan.streams:
        yield f"{streams} streams", partial(_load, streams, plan)
    for name, step in (
        ("departures, idle", partial(_departures_idle, plan.departures)),
        ("departures, busy", partial(_departures_busy, plan.departures, plan.busy_streams)),
        ("superseding", partial(_supersedes, plan.supersedes)),
        ("starting", partial(_starts, plan.cold_starts, plan.imports)),
        ("debug events", partial(_events, plan.silences, plan.seconds)),
    ):
        yield name, partial(_unless_streams_only, plan, step)


def _prepared(peer: Peer) -> str | NotHereError:
    _say(f"== {peer.name}: preparing")
    try:
        FOLDER.mkdir(exist_ok=True)
        return peer.prepare(FOLDER / peer.name.lower())
    except NotHereError as error:
        _say(f"!! {peer.name} IS NOT MEASURED: {error}")
        return error


def _begin(run: str, number: int, peer: Peer, versions: str | NotHereError) -> Round:
    now = datetime.now(UTC)
    begun = Round(run, number, peer.name, peer.what, now, _system())
    if isinstance(versions, NotHereError):
        begun.missing = " ".join(str(versions).split())
        return begun
    begun.versions = versions
    return begun


def _take(name: str, step: Step, peer: Peer, found: Round) -> None:
    started = time.monotonic()
    try:
        told = step(peer, found)
    except NotHereError as error:
        told = f"not measured: {' '.join(str(error).split())}"
        found.skipped.append(f"{name}: {told}")
    _say(
        f"   round {found.round}, {name}, {peer.name}: {told} ({time.monotonic() - started:.0f} s)"
    )


def _unless_streams_only(plan: Plan, step: Step, peer: Peer, found: Round) -> str:
    return "only its streams are" if peer.name in plan.streams_only else step(peer, found)


def _load(streams: int, plan: Plan, peer: Peer, found: Round) -> str:
    if streams not in plan.streams_only.get(peer.name, plan.streams):
        return "not with so many"
    if behind := [each.streams_wanted for each in found.loads if not kept_up(each)]:
        raise NotHereError(f"it did not keep up with {behind[0]} streams")
    with arena(peer) as place:
        found.command = place.command
        measured = load(place, streams, plan.seconds)
    found.loads.append(measured)
    tokens = sum(stream.tokens for stream in measured.streams)
    told = f"{measured.cpu_ns / 1000 / tokens:.1f} µs per token" if tokens else "no token came"
    return "; ".join([told, *remarks(measured)])


def _departures_idle(count: int, peer: Peer, found: Round) -> str:
    if not peer.is_behind_sim:
        return "it has no model server"
    with arena(peer) as place:
        found.departures_idle = departures(place, count)
    return _median(map(closing_ms, found.departures_idle))


def _departures_busy(count: int, streams: int, peer: Peer, found: Round) -> str:
    if not peer.is_behind_sim:
        return "it has no model server"
    with arena(peer) as place:
        found.departures_busy = departures(place, count, streams)
        found.busy_streams = streams
    return _median(map(closing_ms, found.departures_busy))


def _supersedes(count: int, peer: Peer, found: Round) -> str:
    if peer.name != OURS:
        return "it has no sessions"
    with arena(peer) as place:
        found.fresh, found.supersedes = supersedes(place, count)
    fresh, superseding = (map(ttft_ms, each) for each in (found.fresh, found.supersedes))
    return f"{_median(superseding)}; {_median(fresh)} of one that supersedes nothing"


def _starts(count: int, imports: int, peer: Peer, found: Round) -> str:
    found.cold_starts_ms = [cold_start_ms(peer) for _ in range(count)]
    if peer.name == OURS:
        for _ in range(imports):
            found.imports_ms.append(import_ms())
            found.bare_starts_ms.append(bare_start_ms())
    return _median(found.cold_starts_ms)


def _events(silences: int, seconds: float, peer: Peer, found: Round) -> str:
    if peer.name != OURS:
        return "not asked of it"
    tokens = int(seconds * TOKENS_PER_SECOND)
    found.debug_lines, found.debug_frames = debug_events(OURS_WITH_DEBUG, tokens)
    for _ in range(silences):
        told = unwanted()
        found.debug_call_ns.append(told.debug_call_ns)
        found.absent_subscriber_ns.append(told.absent_subscriber_ns)
    calls = f"{found.debug_lines} for {found.debug_frames} frames"
    return f"{calls}, {percentile(found.debug_call_ns, 0.5) or math.nan:.0f} ns each"


def _median(values: Iterable[float]) -> str:
    return f"{percentile(values, 0.5) or math.nan:.1f} ms"


def _system() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    told = [f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}"]
    told += [model[1]] if model else []
    return ", ".join([*told, f"{os.cpu_count()} cores, all on one machine"])


def _keep(folder: Path, peer: Peer, found: Round) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{_slug(peer)}.{found.round}.json").write_bytes(msgspec.json.encode(found))


def _slug(peer: Peer) -> str:
    return peer.name.lower().replace(" ", "-")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()
