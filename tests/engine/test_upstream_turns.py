"""So many streams at the upstream at once; the others wait in the order they came."""

import pytest
import structlog
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.admission import Admission
from jarvis_trio.errors import QueueFullError
from jarvis_trio.events import Cause, Finish, Phase, Text
from tests.engine.engine import LIMITS, Engine
from tests.scripted import Play, words


def test_the_line_has_so_many_places_beside_those_at_the_upstream() -> None:
    admission = Admission(1000, upstream_concurrency=2, max_queue=3)
    for _ in range(5):
        admission.check()
        admission.take()
    with pytest.raises(QueueFullError) as refused:
        admission.check()
    assert "3 prompts wait" in refused.value.message
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    admission.give_back()
    admission.check()


def test_without_a_concurrency_there_is_no_line() -> None:
    admission = Admission(1000, upstream_concurrency=None, max_queue=0)
    for _ in range(999):
        admission.take()
    admission.check()


async def test_never_more_at_the_upstream_than_its_concurrency(autojump_clock: MockClock) -> None:
    engine = Engine(lambda _: words("a", "b", gap=1), concurrency=3, max_queue=100)
    async with engine.running():
        clients = [engine.send(f"p{n}", session=f"s{n}") for n in range(20)]
        for client in clients:
            assert await client.read() == b"<open>[a][b]<end stop>"
        assert engine.provider.max_open == 3
        # 20 answers of 2 s, three at a time.
        assert trio.current_time() - engine.started_at == pytest.approx(14)
        await engine.assert_nothing_is_left()


async def test_who_waits_is_served_in_the_order_of_arrival(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    async with Engine(lambda _: words("a", gap=1), concurrency=1, max_queue=9).running() as engine:
        clients = []
        for n in range(5):
            clients.append(engine.send(f"p{n}", session=f"s{n}"))
            await wait_all_tasks_blocked()
        assert engine.turns.waiting == 4
        assert [client.stream.phase for client in clients[1:]] == [Phase.QUEUED] * 4
        for client in clients:
            await client.read()
        opened = [prompt for what, prompt in engine.provider.history if what == "open"]
        assert opened == ["p0", "p1", "p2", "p3", "p4"]
        assert engine.turns.waiting == 0
    queued = [entry["ahead"] for entry in logged.entries if entry["event"] == "stream_queued"]
    assert queued == [0, 1, 2, 3]


async def test_a_session_that_asks_again_goes_to_the_end_of_the_line(
    autojump_clock: MockClock,
) -> None:
    """Fair: nobody is served twice while others wait, however fast they type."""
    async with Engine(lambda _: words("a", gap=1), concurrency=1, max_queue=9).running() as engine:
        hasty = engine.send("hasty 1", session="hasty")
        await wait_all_tasks_blocked()
        patient = []
        for n in range(2):
            patient.append(engine.send(f"patient {n}", session=f"s{n}"))
            await wait_all_tasks_blocked()
        again = engine.send("hasty 2", session="hasty")
        assert await hasty.read() == b"<open><error superseded>"
        await again.read()
        for client in patient:
            assert client.stream.phase is Phase.ENDED
        opened = [prompt for what, prompt in engine.provider.history if what == "open"]
        assert opened == ["hasty 1", "patient 0", "patient 1", "hasty 2"]


@pytest.mark.parametrize("cause", [Cause.CLIENT_DISCONNECT, Cause.SUPERSEDED, Cause.STOPPED])
async def test_leaving_the_line_leaves_no_gap(autojump_clock: MockClock, cause: Cause) -> None:
    async with Engine(lambda _: words("a", gap=1), concurrency=1, max_queue=9).running() as engine:
        first = engine.send("first", session="s1")
        await wait_all_tasks_blocked()
        leaver = engine.send("leaver", session="s2")
        await wait_all_tasks_blocked()
        third = engine.send("third", session="s3")
        await wait_all_tasks_blocked()
        match cause:
            case Cause.CLIENT_DISCONNECT:
                leaver.reader.leave()
            case Cause.SUPERSEDED:
                engine.send("successor", session="s2")
            case _:
                leaver.stream.cancel(cause)
        await wait_all_tasks_blocked()
        assert leaver.stream.cause is cause
        assert leaver.stream.finished.is_set()
        await first.read()
        assert await third.read() == b"<open>[a]<end stop>"
        assert trio.current_time() - engine.started_at == pytest.approx(2)
        assert ("open", "leaver") not in engine.provider.history
        await engine.assert_nothing_is_left()


async def test_a_supersede_is_never_refused_for_a_full_line(autojump_clock: MockClock) -> None:
    async with Engine(lambda _: words("a", gap=1), concurrency=1, max_queue=1).running() as engine:
        engine.send("A", session="s1")
        waiting = engine.send("B", session="s2")
        await wait_all_tasks_blocked()
        with pytest.raises(QueueFullError):
            engine.send("C", session="s3")
        successors = [engine.send("A2", session="s1"), engine.send("B2", session="s2")]
        for client in successors:
            assert await client.read() == b"<open>[a]<end stop>"
        assert waiting.stream.cause is Cause.SUPERSEDED
        assert engine.provider.max_open == 1
        await engine.assert_nothing_is_left()


async def test_the_time_in_the_line_is_not_the_upstreams(autojump_clock: MockClock) -> None:
    """The first token's time begins when the upstream is asked."""
    plays = {"long": Play(Text("a"), 59, Text("b"), 59, Text("c"), 59, Finish("stop"))}
    plays["short"] = words("a", gap=1)
    async with Engine(plays.__getitem__, concurrency=1, max_queue=1).running() as engine:
        engine.send("long", session="s1")
        await wait_all_tasks_blocked()
        assert await engine.send("short", session="s2").read() == b"<open>[a]<end stop>"
        assert trio.current_time() - engine.started_at == pytest.approx(178)


async def test_a_quarantined_stream_does_not_keep_its_turn(autojump_clock: MockClock) -> None:
    """I4: whoever cannot let go of the upstream holds up nobody else."""
    hangs = trio.Event()
    plays = {"A": Play(Text("a"), trio.Event(), close_hangs_until=hangs), "B": words("b")}
    async with Engine(plays.__getitem__, concurrency=1, max_queue=1).running() as engine:
        stuck = engine.send("A", session="s1")
        await stuck.read_until(b"[a]")
        stuck.reader.leave()
        assert await engine.send("B", session="s2").read() == b"<open>[b]<end stop>"
        assert trio.current_time() - engine.started_at == pytest.approx(2)
        assert not stuck.stream.finished.is_set()
        hangs.set()
        await engine.assert_nothing_is_left()


async def test_a_shutdown_ends_who_waits(autojump_clock: MockClock) -> None:
    async with Engine(lambda _: Play(trio.Event()), concurrency=1, max_queue=9).running() as engine:
        clients = [engine.send("p0", session="s0")]
        await wait_all_tasks_blocked()
        clients += [engine.send(f"p{n}", session=f"s{n}") for n in range(1, 5)]
        await wait_all_tasks_blocked()
        await engine.sessions.close()
        assert [await client.read() for client in clients] == [
            b"<open><error server_shutdown>",
            *[b"<error server_shutdown>"] * 4,
        ]
        assert engine.provider.max_open == 1
        await engine.assert_nothing_is_left()


async def test_who_is_done_with_the_upstream_and_waits_for_a_slow_reader_holds_nobody_up(
    autojump_clock: MockClock,
) -> None:
    limits = replace(LIMITS, replay_limit_bytes=10)
    plays = {"slow": Play([Text("x" * 100), Finish("stop")]), "next": words("a")}
    async with Engine(plays.__getitem__, limits, concurrency=1, max_queue=9).running() as engine:
        slow = engine.send("slow", session="s")
        await wait_all_tasks_blocked()
        assert ("closed", "slow") in engine.provider.history
        assert not slow.stream.finished.is_set()
        with trio.fail_after(5):
            assert await engine.send("next", session="t").read() == b"<open>[a]<end stop>"
        assert engine.provider.max_open == 1
        assert (await slow.read()).endswith(b"<end stop>")
        await engine.assert_nothing_is_left()
