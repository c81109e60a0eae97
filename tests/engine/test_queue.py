"""The policies that leave a live answer alone: ``enqueue`` and ``reject`` (design §6, I1, I2)."""

import pytest
import structlog
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.errors import (
    OverloadedError,
    QueueFullError,
    SessionBusyError,
    SupersededError,
    UpstreamEOFError,
)
from jarvis_trio.events import Cause, Finish, Phase, Text
from tests.engine.engine import LIMITS, Client, Engine
from tests.scripted import PlainEncoder, Play, Script, ask, words

ENQUEUE, REJECT = Policy.ENQUEUE, Policy.REJECT


def by_prompt(**plays: Play) -> Script:
    return lambda prompt: plays[prompt]


def slow(text: str, seconds: float = 5) -> Play:
    return Play(Text(text), seconds, Finish("stop"))


async def test_enqueued_prompts_are_answered_one_after_the_other_in_their_order(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=slow("a"), B=slow("b"), C=slow("c"))
    async with Engine(script).running() as engine:
        clients = [engine.send(name, policy=ENQUEUE) for name in "ABC"]
        await wait_all_tasks_blocked()
        assert [client.stream.phase for client in clients] == ["decode", "queued", "queued"]
        assert [await client.read() for client in clients] == [
            b"<open>[a]<end stop>",
            b"<open>[b]<end stop>",
            b"<open>[c]<end stop>",
        ]
        assert trio.current_time() - engine.started_at == pytest.approx(15)
        history = [event for event in engine.provider.history if event[0] != "accepted"]
        assert history == [(what, name) for name in "ABC" for what in ("open", "closed")]
        await engine.assert_nothing_is_left()


async def test_who_leaves_the_queue_is_never_asked_for_and_holds_nobody_up(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=slow("a"), B=slow("b"), C=slow("c"))
    async with Engine(script).running() as engine:
        first, second, third = (engine.send(name, policy=ENQUEUE) for name in "ABC")
        await wait_all_tasks_blocked()
        second.reader.leave()
        await second.stream.finished.wait()
        assert second.stream.cause is Cause.CLIENT_DISCONNECT
        await first.read()
        assert await third.read() == b"<open>[c]<end stop>"
        assert ("open", "B") not in engine.provider.history
        assert trio.current_time() - engine.started_at == pytest.approx(10)
        await engine.assert_nothing_is_left()


@pytest.mark.parametrize("ending", ["fails", "stopped", "leaves"])
async def test_the_next_is_answered_however_the_one_before_it_ends(
    autojump_clock: MockClock, ending: str
) -> None:
    fails = Play(Text("a"), 1, UpstreamEOFError("scripted closed"))
    script = by_prompt(A=fails if ending == "fails" else slow("a"), B=words("b"))
    async with Engine(script).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B", policy=ENQUEUE)
        await wait_all_tasks_blocked()
        if ending == "stopped":
            first.stream.cancel(Cause.STOPPED)
        elif ending == "leaves":
            first.reader.leave()
        assert await second.read() == b"<open>[b]<end stop>"
        assert engine.provider.max_open == 1
        await engine.assert_nothing_is_left()


async def test_an_interrupt_supersedes_the_live_one_and_all_that_wait(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=slow("a"), B=slow("b"), C=slow("c"), D=words("d"))
    async with Engine(script).running() as engine:
        clients = [engine.send(name, policy=ENQUEUE) for name in "ABC"]
        await wait_all_tasks_blocked()
        last = engine.send("D")
        assert await last.read() == b"<open>[d]<end stop>"
        for client in clients:
            await client.stream.finished.wait()
            assert client.stream.cause is Cause.SUPERSEDED
            assert isinstance(client.stream.error, SupersededError)
            assert client.stream.error.superseded_by == last.stream.id
        assert [name for what, name in engine.provider.history if what == "open"] == ["A", "D"]
        await engine.assert_nothing_is_left()


async def test_a_full_queue_refuses_and_changes_nothing(autojump_clock: MockClock) -> None:
    script = by_prompt(A=slow("a"), B=slow("b"), C=slow("c"), D=slow("d"))
    async with Engine(script).running() as engine:
        clients = [engine.send(name, policy=ENQUEUE) for name in "ABC"]
        with pytest.raises(QueueFullError):
            engine.send("D", policy=ENQUEUE)
        await wait_all_tasks_blocked()
        clients[1].reader.leave()  # its place is free at once
        clients.append(engine.send("D", policy=ENQUEUE))
        for client, name in ((clients[0], b"a"), (clients[2], b"c"), (clients[3], b"d")):
            assert await client.read() == b"<open>[%b]<end stop>" % name
        await engine.assert_nothing_is_left()


async def test_a_queue_takes_no_more_streams_than_the_server_admits(
    autojump_clock: MockClock,
) -> None:
    limits = replace(LIMITS, session_queue=100)
    async with Engine(lambda _: slow("x"), limits, max_streams=3).running() as engine:
        clients = [engine.send("A", policy=ENQUEUE) for _ in range(3)]
        with pytest.raises(OverloadedError):
            engine.send("A", policy=ENQUEUE)
        for client in clients:
            await client.read()
        await engine.assert_nothing_is_left()


async def test_a_session_that_answers_or_has_a_queue_rejects_and_goes_on(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=slow("a"), B=slow("b"), C=words("c"))
    async with Engine(script).running() as engine:
        first = engine.send("A", policy=REJECT)
        with pytest.raises(SessionBusyError):
            engine.send("C", policy=REJECT)
        await wait_all_tasks_blocked()
        second = engine.send("B", policy=ENQUEUE)
        with pytest.raises(SessionBusyError):
            engine.send("C", policy=REJECT)
        assert await first.read() == b"<open>[a]<end stop>"
        with pytest.raises(SessionBusyError):
            engine.send("C", policy=REJECT)
        assert await second.read() == b"<open>[b]<end stop>"
        assert await engine.send("C", policy=REJECT).read() == b"<open>[c]<end stop>"
        await engine.assert_nothing_is_left()


@pytest.mark.parametrize("policy", [ENQUEUE, REJECT])
async def test_an_answer_that_only_unwinds_is_waited_for_and_rejects_nobody(
    autojump_clock: MockClock, policy: Policy
) -> None:
    let_go = trio.Event()
    script = by_prompt(A=Play(trio.Event(), close_hangs_until=let_go), B=words("b"))
    async with Engine(script).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        first.stream.cancel(Cause.STOPPED)
        second = engine.send("B", policy=policy)
        await wait_all_tasks_blocked()
        assert second.stream.phase is Phase.QUEUED
        let_go.set()
        assert await second.read() == b"<open>[b]<end stop>"
        assert engine.provider.max_open == 1
        await engine.assert_nothing_is_left()


async def test_a_queue_goes_on_behind_a_quarantined_stream(autojump_clock: MockClock) -> None:
    """I4: B takes the session when A's cleanup has had its time, and C comes after B."""
    let_go = trio.Event()
    script = by_prompt(A=Play(trio.Event(), close_hangs_until=let_go), B=slow("b"), C=words("c"))
    async with Engine(script).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        second, third = (engine.send(name, policy=ENQUEUE) for name in "BC")
        first.stream.cancel(Cause.STOPPED)
        assert await second.read() == b"<open>[b]<end stop>"
        assert await third.read() == b"<open>[c]<end stop>"
        assert first.stream.quarantined
        let_go.set()
        await engine.assert_nothing_is_left()


async def test_a_shutdown_ends_those_that_wait_like_the_others(autojump_clock: MockClock) -> None:
    async with Engine(lambda _: slow("x", 1000)).running() as engine:
        clients = [engine.send("A", policy=ENQUEUE) for _ in range(3)]
        await wait_all_tasks_blocked()
        await engine.sessions.close()
        assert {client.stream.cause for client in clients} == {Cause.SHUTDOWN}
        await engine.assert_nothing_is_left()


async def test_a_prompt_that_took_long_to_read_joins_the_queue_all_the_same(
    autojump_clock: MockClock,
) -> None:
    """Only who would supersede a newer prompt is too late."""
    script = by_prompt(A=slow("a"), B=words("b"))
    async with Engine(script).running() as engine:

        def send(name: str, arrived_at: float, policy: Policy) -> Client:
            prompt = Prompt(ask(name), "me", "s", name, PlainEncoder, arrived_at)
            return Client(engine.sessions.submit(prompt, policy))

        newer = send("A", 2, Policy.INTERRUPT)
        older = send("B", 1, ENQUEUE)
        with pytest.raises(SupersededError):
            send("B", 1, Policy.INTERRUPT)
        assert await newer.read() == b"<open>[a]<end stop>"
        assert await older.read() == b"<open>[b]<end stop>"
        await engine.assert_nothing_is_left()


async def test_the_log_says_who_waits_and_what_a_prompt_has_waited_for(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    script = by_prompt(A=slow("a"), B=slow("b"), C=slow("c"))
    async with Engine(script).running() as engine:
        first, second, third = (engine.send(name, policy=ENQUEUE) for name in "ABC")
        await wait_all_tasks_blocked()
        second.reader.leave()
        await first.read()
        await third.read()
        await engine.assert_nothing_is_left()

    def told(event: str) -> list[tuple[object, object]]:
        entries = [entry for entry in logged.entries if entry["event"] == event]
        return [(entry["trace"], entry.get("ahead")) for entry in entries]

    assert told("stream_queued") == [("B", 1), ("C", 2)]
    assert told("prev_stream_finished_cleanly") == [("A", None)]
