"""Stop: the receipt tells what was seen, in every phase (design §8, I2, I4)."""

from collections.abc import Callable

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.endings import MOST
from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.stopping import BACKEND_SECONDS, Receipt
from jarvis_trio.errors import ServerShutdownError, UpstreamError
from jarvis_trio.events import Cause, Finish, Phase, Text
from tests.engine.engine import LIMITS, Client, Engine
from tests.scripted import Play, Script, words


def by_prompt(**plays: Play) -> Script:
    return lambda prompt: plays[prompt]


def stuck_in(phase: str) -> Play:
    for_ever = trio.Event()
    return {
        "connect": Play(before_accept=[for_ever]),
        "prefill": Play(for_ever),
        "decode": Play(Text("a1 "), for_ever),
    }[phase]


async def stop(engine: Engine, client: Client) -> Receipt:
    return await engine.sessions.stop(client.stream).wait()


@pytest.mark.parametrize("phase", ["connect", "prefill", "decode"])
async def test_a_stop_is_answered_when_the_upstream_is_closed_and_idle(
    autojump_clock: MockClock, phase: str
) -> None:
    async with Engine(by_prompt(A=stuck_in(phase))).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        receipt = await stop(engine, client)
        assert engine.provider.open == 0
        assert receipt == Receipt(
            session_id="s",
            stream_id=client.stream.id,
            cause=Cause.STOPPED,
            phase=Phase(phase),
            tokens_sent=phase == "decode",
            upstream_closed_ms=0,
            backend_idle_ms=0,
            status="cancelled",
        )
        assert (await client.read()).endswith(b"<error stopped>")
        await engine.assert_nothing_is_left()


async def test_a_prompt_that_waits_is_stopped_without_ever_being_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with Engine(by_prompt(A=words("a", gap=5), B=words("b"))).running() as engine:
        first = engine.send("A")
        second = engine.send("B", policy=Policy.ENQUEUE)
        await wait_all_tasks_blocked()
        receipt = await stop(engine, second)
        assert (receipt.phase, receipt.status) == (Phase.QUEUED, "cancelled")
        assert (receipt.upstream_closed_ms, receipt.backend_idle_ms) == (None, None)
        await first.read()
        assert ("open", "B") not in engine.provider.history
        await engine.assert_nothing_is_left()


async def test_it_waits_until_the_backend_has_noticed(autojump_clock: MockClock) -> None:
    async with Engine(by_prompt(A=stuck_in("prefill"))).running() as engine:
        engine.provider.busy_until = trio.Event()
        client = engine.send("A")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:

            async def notice() -> None:
                await trio.sleep(0.7)
                assert engine.provider.busy_until is not None
                engine.provider.busy_until.set()

            nursery.start_soon(notice)
            receipt = await stop(engine, client)
        assert receipt.status == "cancelled"
        assert receipt.upstream_closed_ms == 0
        assert receipt.backend_idle_ms == pytest.approx(700, abs=21)


async def fails() -> int | None:
    raise UpstreamError("it has no such route")


async def crashes() -> int | None:
    raise ZeroDivisionError


async def says_nothing() -> int | None:
    return None


async def never_answers() -> int | None:
    await trio.sleep_forever()
    return None


async def is_always_busy() -> int | None:
    return 99


@pytest.mark.parametrize(
    ("busy", "seconds"),
    [
        (fails, 0),
        (crashes, 0),
        (says_nothing, 0),
        (never_answers, BACKEND_SECONDS),
        (is_always_busy, BACKEND_SECONDS),
    ],
)
async def test_a_backend_that_was_not_seen_idle_leaves_it_unconfirmed(
    autojump_clock: MockClock, busy: Callable[[], object], seconds: float
) -> None:
    async with Engine(by_prompt(A=stuck_in("decode"))).running() as engine:
        engine.provider.busy = busy  # type: ignore[assignment,method-assign]
        client = engine.send("A")
        await wait_all_tasks_blocked()
        began = trio.current_time()
        receipt = await stop(engine, client)
        assert trio.current_time() - began == pytest.approx(seconds)
        assert (receipt.status, receipt.backend_idle_ms) == ("unconfirmed", None)
        assert receipt.upstream_closed_ms == 0


async def test_what_others_have_the_backend_do_does_not_count(autojump_clock: MockClock) -> None:
    async with Engine(by_prompt(A=stuck_in("decode"), B=words("b", gap=9))).running() as engine:
        other = engine.send("B", session="other")
        client = engine.send("A")
        await wait_all_tasks_blocked()
        receipt = await stop(engine, client)
        assert (receipt.status, receipt.backend_idle_ms) == ("cancelled", 0)
        await other.read()


async def test_two_stops_at_once_get_the_same_receipt(autojump_clock: MockClock) -> None:
    let_go = trio.Event()
    play = Play(Text("a"), trio.Event(), close_hangs_until=let_go)
    async with Engine(by_prompt(A=play)).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        receipts: list[Receipt] = []

        async def ask() -> None:
            receipts.append(await stop(engine, client))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.5)
            nursery.start_soon(ask)
            await trio.sleep(0.5)
            let_go.set()
        assert receipts[0] == receipts[1]
        assert receipts[0].upstream_closed_ms == pytest.approx(1000)
        assert await stop(engine, client) == receipts[0]


async def test_a_cleanup_that_hangs_is_told_as_unconfirmed(autojump_clock: MockClock) -> None:
    let_go = trio.Event()
    play = Play(Text("a"), trio.Event(), close_hangs_until=let_go)
    async with Engine(by_prompt(A=play)).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        receipt = await stop(engine, client)
        assert trio.current_time() - engine.started_at == pytest.approx(
            LIMITS.cleanup_timeout_seconds
        )
        assert (receipt.status, receipt.upstream_closed_ms) == ("unconfirmed", None)
        let_go.set()
        await engine.assert_nothing_is_left()


async def test_a_stop_of_what_ends_already_changes_nothing_and_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    let_go = trio.Event()
    play = Play(Text("a"), trio.Event(), close_hangs_until=let_go)
    async with Engine(by_prompt(A=play, B=words("b"))).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B")
        # Who presses Stop now means the answer that is to come.
        assert engine.sessions.directory.current("me", "s") is second.stream
        assert engine.sessions.directory.current("me", "s", first.stream.id) is first.stream
        let_go.set()
        receipt = await stop(engine, first)
        assert (receipt.status, receipt.cause) == ("already_ended", Cause.SUPERSEDED)
        assert receipt.backend_idle_ms is None  # it works for the successor by now
        assert await second.read() == b"<open>[b]<end stop>"


async def test_a_stop_of_what_has_failed_does_not_wait_for_those_who_do_not_read(
    autojump_clock: MockClock,
) -> None:
    """I3: its last frame waits until a reader has room, which a stop is not to wait for."""
    limits = replace(LIMITS, replay_limit_bytes=10)
    play = Play([Text("a" * 20), Finish("stop")], UpstreamError("it failed"))
    async with Engine(by_prompt(A=play), limits).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        assert client.stream.cause is Cause.UPSTREAM_ERROR
        with trio.fail_after(LIMITS.cleanup_timeout_seconds):
            receipt = await stop(engine, client)
        assert (receipt.status, receipt.cause) == ("already_ended", Cause.UPSTREAM_ERROR)
        assert await client.read() == b"<open>[%b]<error upstream_error>" % (b"a" * 20)
        await engine.assert_nothing_is_left()


async def test_an_answer_that_is_whole_keeps_its_end(autojump_clock: MockClock) -> None:
    async with Engine(by_prompt(A=Play(Text("a"), Finish("stop")))).running() as engine:
        heard = trio.Event()

        async def linger(_: object) -> None:
            heard.set()
            await trio.sleep(1)

        engine.bus.subscribe("chat.token", linger)
        client = engine.send("A")
        await heard.wait()
        assert await client.read() == b"<open>[a]<end stop>"
        receipt = await stop(engine, client)
        assert (receipt.status, receipt.cause) == ("already_ended", Cause.COMPLETED)
        assert trio.current_time() - engine.started_at == pytest.approx(1)


async def test_after_a_shutdown_nothing_is_stopped(autojump_clock: MockClock) -> None:
    async with Engine(by_prompt(A=stuck_in("decode"))).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        await engine.sessions.close()
        with pytest.raises(ServerShutdownError):
            engine.sessions.stop(client.stream)


async def test_a_shutdown_that_does_not_wait_for_the_backend_is_told(
    autojump_clock: MockClock,
) -> None:
    limits = replace(LIMITS, cleanup_timeout_seconds=0.5)
    async with Engine(by_prompt(A=stuck_in("decode")), limits).running() as engine:
        engine.provider.busy = never_answers  # type: ignore[method-assign]
        client = engine.send("A")
        await wait_all_tasks_blocked()
        stopping = engine.sessions.stop(client.stream)
        await client.stream.finished.wait()
        await engine.sessions.close()
        with pytest.raises(ServerShutdownError):
            await stopping.wait()


async def test_the_last_endings_are_remembered_and_no_more(autojump_clock: MockClock) -> None:
    async with Engine(lambda _: words("a ", "b")).running() as engine:
        ids = []
        for number in range(MOST + 1):
            client = engine.send("A", session=f"s{number % 3}")
            await client.read()
            await client.stream.finished.wait()
            ids.append(client.stream.id)
        endings = engine.sessions.endings
        assert endings.of_stream("me", ids[0]) is None
        assert endings.of_stream("somebody", ids[1]) is None
        second = endings.of_stream("me", ids[1])
        assert second is not None
        assert (second.session_id, second.cause, second.tokens_sent) == ("s1", Cause.COMPLETED, 2)
        last = endings.of_session("me", f"s{MOST % 3}")
        assert last is not None
        assert last.stream_id == ids[-1]
        before_last = endings.of_session("me", f"s{(MOST - 1) % 3}")
        assert before_last is not None
        assert before_last.stream_id == ids[-2]
        assert endings.of_session("somebody", "s1") is None


async def test_sessions_are_forgotten_with_their_last_ending(autojump_clock: MockClock) -> None:
    async with Engine(lambda _: words("a")).running() as engine:
        for number in range(MOST + 10):
            client = engine.send("A", session=f"s{number}")
            await client.read()
            await client.stream.finished.wait()
        endings = engine.sessions.endings
        assert endings.of_session("me", "s9") is None
        assert endings.of_session("me", "s10") is not None
        assert len(endings._by_session) == len(endings._by_stream) == MOST
