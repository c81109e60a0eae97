"""I6, to the block: thousands of endings of every kind, and the interpreter holds what it held."""

import gc
import random
import sys
from collections.abc import Callable

import trio
from trio.testing import MockClock

from jarvis_trio.engine.endings import MOST
from jarvis_trio.errors import UpstreamDownError, UpstreamEOFError, UpstreamError
from jarvis_trio.events import Cause, Text
from jarvis_trio.store.base import DeleteSession
from tests.engine.engine import LIMITS, Engine
from tests.scripted import Play, words

WARM_UP = MOST + 100  # endings that are remembered take their place first
ENDINGS = 5000


def stuck(*, in_cleanup: bool = False) -> Play:
    hang = trio.Event() if in_cleanup else None
    return Play(Text("a"), trio.Event(), close_hangs_until=hang)


PLAYS: dict[str, Callable[[], Play]] = {
    "completed": lambda: words("a", "b"),
    "refused": lambda: Play(before_accept=[UpstreamError("no")]),
    "down": lambda: Play(before_accept=[UpstreamDownError("down")]),
    "eof": lambda: Play(Text("a"), UpstreamEOFError("cut")),
    "crash": lambda: Play(Text("a"), KeyError("a bug")),
    "silent": lambda: Play(trio.Event()),
    "superseded": stuck,
    "superseded in connect": lambda: Play(before_accept=[trio.Event()]),
    "stopped": stuck,
    "left": stuck,
    "left at once": stuck,
    "stalled": stuck,
    "read again": lambda: words("a", "b"),
    "never read again": stuck,
    "quarantined": lambda: stuck(in_cleanup=True),
}
KINDS = tuple(PLAYS)


async def end_one(engine: Engine, kind: str, session: str) -> None:
    client = engine.send(kind, session, lives_on="again" in kind)
    match kind:
        case "left at once" | "never read again":
            client.reader.leave()
        case "read again":
            client.reader.leave()
            client.reader = client.stream.attach(0)
        case "superseded in connect":
            await client.read_one()
            await engine.send("completed", session).read()
        case "superseded" | "stopped" | "left" | "stalled" | "quarantined":
            await client.read_until(b"[a]")
            if kind == "superseded":
                await engine.send("completed", session).read()
            elif kind == "left":
                client.reader.leave()
            elif kind == "stalled":
                client.reader.leave(Cause.CLIENT_STALLED)
            else:
                client.stream.cancel(Cause.STOPPED)
    await client.read()
    client.reader.leave()
    await client.stream.finished.wait()


async def end_many(engine: Engine, kinds: list[str], at_once: int) -> None:
    left = iter(enumerate(kinds))

    async def ending() -> None:
        for number, kind in left:
            await end_one(engine, kind, f"s{number}")

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(ending)
    await trio.sleep(LIMITS.resume_grace_seconds)
    await engine.assert_nothing_is_left()
    engine.provider.history.clear()
    engine.provider.requests.clear()
    await engine.history.drain()
    kept = engine.store.sessions(None, limit=ENDINGS)
    engine.store.apply([DeleteSession(session.owner, session.id) for session in kept])


async def test_i6_no_ending_leaves_a_block_behind(autojump_clock: MockClock) -> None:
    rng = random.Random(6)  # noqa: S311 - an order, not a secret
    kinds = [KINDS[n % len(KINDS)] for n in range(ENDINGS)]
    rng.shuffle(kinds)
    async with Engine(
        lambda kind: PLAYS[kind](), concurrency=15, max_queue=100
    ).running() as engine:
        await end_many(engine, kinds[:WARM_UP], at_once=20)
        gc.collect()
        before = sys.getallocatedblocks()
        await end_many(engine, kinds, at_once=20)
        gc.collect()
        growth = sys.getallocatedblocks() - before
    # Not even one block for each ending of one kind; the interpreter's caches take fewer.
    assert growth < ENDINGS / len(KINDS)
