"""Supersede, in every phase (design I1, I2, I4, I5, I6, I8)."""

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.prompt import Prompt, SendOrder
from jarvis_trio.errors import OverloadedError, ServerShutdownError, SupersededError
from jarvis_trio.events import Cause, Finish, Phase, Text
from tests.engine.engine import LIMITS, Client, Engine
from tests.scripted import PlainEncoder, Play, Script, ask, words


def stuck_in(phase: str) -> Play:
    """Return a play that stays in ``phase`` for ever."""
    for_ever = trio.Event()
    return {
        "connect": Play(before_accept=[for_ever]),
        "prefill": Play(for_ever),
        "decode": Play(Text("a1 "), for_ever),
        "window": Play(Text("a1 "), Text("a2 "), for_ever),
    }[phase]


def text_of(received: bytes) -> bytes:
    """Return it without where one frame ended and the next began, which the clock has a part in."""
    return received.replace(b"][", b"")


def by_prompt(**plays: Play) -> Script:
    return lambda prompt: plays[prompt]


async def test_an_answer_comes_whole_and_ends_once(autojump_clock: MockClock) -> None:
    async with Engine(by_prompt(A=words("one ", "two ", "three"))).running() as engine:
        client = engine.send("A")
        assert await client.read() == b"<open>[one ][two three]<end stop>"
        await client.stream.finished.wait()
        assert client.stream.cause is Cause.COMPLETED
        await engine.assert_nothing_is_left()


@pytest.mark.parametrize("phase", ["connect", "prefill", "decode", "window"])
async def test_a_new_prompt_supersedes_in_every_phase(
    autojump_clock: MockClock, phase: str
) -> None:
    """I1, I2: the old tree has unwound, its upstream is closed, before the new one is asked."""
    script = by_prompt(A=stuck_in(phase), B=words("b"))
    async with Engine(script).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        expected = {"window": "decode"}.get(phase, phase)
        assert first.stream.phase == expected
        second = engine.send("B")
        assert await second.read() == b"<open>[b]<end stop>"
        received = await first.read()
        assert received.endswith(b"<error superseded>")
        assert received.count(b"<error") == 1
        if phase == "window":
            assert received == b"<open>[a1 ][a2 ]<error superseded>"
        history = engine.provider.history
        assert history.index(("closed", "A")) < history.index(("open", "B"))
        assert engine.provider.max_open == 1
        await engine.assert_nothing_is_left()


async def test_a_supersede_takes_no_time_of_its_own(autojump_clock: MockClock) -> None:
    script = by_prompt(A=stuck_in("decode"), B=words("b"))
    async with Engine(script).running() as engine:
        engine.send("A")
        await trio.sleep(1)
        before = trio.current_time()
        second = engine.send("B")
        await second.read_until(b"[b]")
        assert trio.current_time() == before


async def test_a_prompt_superseded_while_it_waits_never_starts(autojump_clock: MockClock) -> None:
    """C arrives while B waits for A to unwind: B ends at once, nothing of it reaches upstream."""
    let_go = trio.Event()
    script = by_prompt(A=Play(trio.Event(), close_hangs_until=let_go), B=words("b"), C=words("c"))
    async with Engine(script).running() as engine:
        engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B")
        await wait_all_tasks_blocked()
        assert second.stream.phase is Phase.QUEUED
        third = engine.send("C")
        await second.stream.finished.wait()
        assert second.stream.cause is Cause.SUPERSEDED
        assert not second.stream.accepted
        assert third.stream.phase is Phase.QUEUED
        let_go.set()
        assert await third.read() == b"<open>[c]<end stop>"
        assert ("open", "B") not in engine.provider.history
        await engine.assert_nothing_is_left()


async def test_a_prompt_that_took_long_to_read_does_not_supersede_a_newer_one(
    autojump_clock: MockClock,
) -> None:
    """A huge paste is still being decoded when its user types again."""
    script = {"A": words("a"), "B": Play(Text("b"), 1, Finish("stop")), "C": words("c")}
    async with Engine(script.__getitem__).running() as engine:

        def send(name: str, arrived_at: float) -> Client:
            prompt = Prompt(ask(name), "me", "s", name, PlainEncoder, arrived_at)
            return Client(engine.sessions.submit(prompt))

        newer = send("B", arrived_at=2)
        with pytest.raises(SupersededError) as waiting:
            send("A", arrived_at=1)
        await newer.read_until(b"[b]")
        with pytest.raises(SupersededError) as live:
            send("A", arrived_at=1)
        assert waiting.value.superseded_by == live.value.superseded_by == newer.stream.id
        assert await newer.read() == b"<open>[b]<end stop>"
        # What has come to its end, or was left, stands in nobody's way.
        assert await send("A", arrived_at=1).read() == b"<open>[a]<end stop>"
        left = send("B", arrived_at=4)
        left.reader.leave()
        assert await send("C", arrived_at=3).read() == b"<open>[c]<end stop>"
        await engine.assert_nothing_is_left()


async def test_a_prompt_that_the_network_held_up_gives_way_to_what_its_client_sent_after_it(
    autojump_clock: MockClock,
) -> None:
    script = {"A": words("a"), "B": Play(Text("b"), 1, Finish("stop")), "C": words("c")}
    async with Engine(script.__getitem__).running() as engine:

        def send(name: str, order: SendOrder | None, arrived_at: float) -> Client:
            prompt = Prompt(ask(name), "me", "s", name, PlainEncoder, arrived_at, order=order)
            return Client(engine.sessions.submit(prompt))

        newer = send("B", SendOrder("tab", 2), arrived_at=1)
        for _ in range(2):
            with pytest.raises(SupersededError) as held_up:
                send("A", SendOrder("tab", 1), arrived_at=2)
            assert held_up.value.superseded_by == newer.stream.id
            assert await newer.read() == b"<open>[b]<end stop>"  # and the second time, it is over
        assert ("open", "A") not in engine.provider.history
        # Whoever else asks is nobody's elder, and neither is the same client's next prompt.
        others = [SendOrder("another", 1), SendOrder("tab", 2), None, SendOrder("another", 2)]
        for order in others:
            assert await send("C", order, arrived_at=3).read() == b"<open>[c]<end stop>"
        await engine.assert_nothing_is_left()


async def test_prompts_that_arrive_in_one_moment_leave_only_the_last(
    autojump_clock: MockClock,
) -> None:
    async with Engine(words).running() as engine:
        clients = [engine.send(str(number)) for number in range(5)]
        assert await clients[-1].read() == b"<open>[4]<end stop>"
        assert [what for what in engine.provider.history if what[0] == "open"] == [("open", "4")]
        for client in clients[:-1]:
            assert await client.read() == b"<error superseded>"
            assert client.stream.started_at is None
        await engine.assert_nothing_is_left()


async def test_two_sessions_do_not_touch_each_other(autojump_clock: MockClock) -> None:
    """I8: cancelling one leaves the other byte-identical; keys do not share sessions either."""
    lines = [f"w{number} " for number in range(50)]
    script = by_prompt(A=words(*lines, gap=0.02), B=words("b"), X=words(*lines, gap=0.02))
    async with Engine(script).running() as engine:
        alone = text_of(await engine.send("X", session="alone").read())
        other_session = engine.send("X", session="other")
        other_owner = engine.send("X", session="s", owner="somebody else")
        engine.send("A")
        await trio.sleep(0.31)
        engine.send("B")
        assert text_of(await other_session.read()) == alone
        assert text_of(await other_owner.read()) == alone
        await engine.assert_nothing_is_left()


async def test_a_cleanup_that_hangs_is_quarantined(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    """I4: after cleanup_timeout the old stream has lost its output and its session."""
    let_go = trio.Event()
    script = by_prompt(A=Play(Text("a"), trio.Event(), close_hangs_until=let_go), B=words("b"))
    async with Engine(script).running() as engine:
        first = engine.send("A")
        await first.read_until(b"[a]")
        asked_at = trio.current_time()
        second = engine.send("B")
        assert await second.read() == b"<open>[b]<end stop>"
        assert trio.current_time() - asked_at == pytest.approx(2)
        assert await first.read() == b"<open>[a]<error superseded>"
        assert first.stream.quarantined
        assert first.stream in engine.sessions.streams
        await second.stream.finished.wait()
        assert engine.admission.taken == 1
        told = [entry["event"] for entry in logged.entries]
        assert "prev_stream_timeout_on_cancel" in told
        assert "prev_stream_finished_cleanly" not in told
        assert b"jarvis_streams_quarantined_total 1.0" in engine.metrics.expose()
        let_go.set()
        await first.stream.finished.wait()
        await engine.assert_nothing_is_left()


async def test_a_cleanup_that_hangs_holds_up_no_stop(autojump_clock: MockClock) -> None:
    """I4 also where nobody waits for the session: the reader has its ending in time."""
    let_go = trio.Event()
    script = by_prompt(A=Play(Text("a"), trio.Event(), close_hangs_until=let_go), B=words("b"))
    async with Engine(script).running() as engine:
        first = engine.send("A")
        await first.read_until(b"[a]")
        asked_at = trio.current_time()
        first.stream.cancel(Cause.STOPPED)
        assert await first.read() == b"<open>[a]<error stopped>"
        assert trio.current_time() - asked_at == pytest.approx(2)
        assert first.stream.released.is_set()
        assert not first.stream.finished.is_set()
        assert not engine.sessions._sessions
        assert await engine.send("B").read() == b"<open>[b]<end stop>"
        let_go.set()
        await engine.assert_nothing_is_left()


async def test_waiting_for_idleness_leaves_a_quarantined_stream_behind(
    autojump_clock: MockClock,
) -> None:
    """It may hang for ever: a drain must neither wait for it nor spin while it does."""
    let_go = trio.Event()
    script = by_prompt(A=Play(Text("a"), trio.Event(), close_hangs_until=let_go))
    async with Engine(script).running() as engine:
        client = engine.send("A")
        await client.read_until(b"[a]")
        client.stream.cancel(Cause.STOPPED)
        await client.stream.released.wait()
        with trio.fail_after(1):
            await engine.sessions.wait_until_idle()
        assert not client.stream.finished.is_set()
        let_go.set()


async def test_closing_is_bounded_also_when_a_cleanup_hangs(autojump_clock: MockClock) -> None:
    let_go = trio.Event()
    script = by_prompt(A=Play(Text("a"), trio.Event(), close_hangs_until=let_go))
    async with Engine(script).running() as engine:
        client = engine.send("A")
        await client.read_until(b"[a]")
        asked_at = trio.current_time()
        await engine.sessions.close()
        assert trio.current_time() - asked_at == pytest.approx(4)
        assert await client.read() == b"<open>[a]<error server_shutdown>"
        let_go.set()


async def test_a_provider_that_ends_without_an_end_marker_has_not_completed(
    autojump_clock: MockClock,
) -> None:
    """I5, whatever a provider promises."""
    async with Engine(by_prompt(A=Play(Text("a")))).running() as engine:
        client = engine.send("A")
        assert await client.read() == b"<open>[a]<error upstream_eof>"
        assert client.stream.cause is Cause.UPSTREAM_EOF


async def test_a_cancel_during_cleanup_changes_nothing(autojump_clock: MockClock) -> None:
    let_go = trio.Event()
    script = by_prompt(A=Play(trio.Event(), close_hangs_until=let_go))
    async with Engine(script).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        client.stream.cancel(Cause.STOPPED)
        await wait_all_tasks_blocked()
        client.stream.cancel(Cause.SUPERSEDED)
        let_go.set()
        assert await client.read() == b"<open><error stopped>"
        assert client.stream.cause is Cause.STOPPED


@pytest.mark.parametrize("phase", ["connect", "prefill", "decode", "window"])
async def test_a_client_that_leaves_closes_the_upstream(
    autojump_clock: MockClock, phase: str
) -> None:
    async with Engine(by_prompt(A=stuck_in(phase))).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        client.reader.leave()
        await client.stream.finished.wait()
        assert client.stream.cause is Cause.CLIENT_DISCONNECT
        await engine.assert_nothing_is_left()


async def test_a_client_that_leaves_while_it_waits_never_starts(autojump_clock: MockClock) -> None:
    let_go = trio.Event()
    script = by_prompt(A=Play(trio.Event(), close_hangs_until=let_go), B=words("b"))
    async with Engine(script).running() as engine:
        engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B")
        second.reader.leave()
        await second.stream.finished.wait()
        let_go.set()
        await wait_all_tasks_blocked()
        assert ("open", "B") not in engine.provider.history
        await engine.assert_nothing_is_left()


async def test_a_reader_that_never_reads_delays_no_supersede(autojump_clock: MockClock) -> None:
    """I3: the old stream is back-pressured to a halt; the new prompt starts at once."""
    endless = Play(*[Text("x" * 1000)] * 1000, Finish("stop"))
    async with Engine(by_prompt(A=endless, B=words("b"))).running() as engine:
        stalled = engine.send("A")
        await wait_all_tasks_blocked()
        assert stalled.stream.replay.appended_bytes < LIMITS.replay_limit_bytes + 10_000
        before = trio.current_time()
        assert await engine.send("B").read() == b"<open>[b]<end stop>"
        assert trio.current_time() == before
        await engine.assert_nothing_is_left()


async def test_a_full_server_refuses_new_sessions_but_never_a_supersede(
    autojump_clock: MockClock,
) -> None:
    def script(prompt: str) -> Play:
        return stuck_in("decode") if prompt == "A" else words("b")

    async with Engine(script, max_streams=2).running() as engine:
        engine.send("A", session="one")
        engine.send("A", session="two")
        with pytest.raises(OverloadedError) as refused:
            engine.send("A", session="three")
        assert refused.value.retry_after == 1
        assert await engine.send("B", session="two").read() == b"<open>[b]<end stop>"
        await wait_all_tasks_blocked()
        assert await engine.send("B", session="three").read() == b"<open>[b]<end stop>"


async def test_closing_ends_every_stream_and_takes_no_more(autojump_clock: MockClock) -> None:
    async with Engine(by_prompt(A=stuck_in("decode"))).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        await engine.sessions.close()
        assert await client.read() == b"<open>[a1 ]<error server_shutdown>"
        with pytest.raises(ServerShutdownError):
            engine.send("A")
    await engine.assert_nothing_is_left()


async def test_a_cancelled_service_still_ends_its_streams_honestly(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        engine = Engine(by_prompt(A=stuck_in("decode")))
        await nursery.start(engine.sessions.run)
        client = engine.send("A")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel(reason="the test cancels the service")
    assert client.stream.cause is Cause.SHUTDOWN
    await engine.assert_nothing_is_left()


async def test_a_thousand_rapid_prompts_leave_nothing_behind(autojump_clock: MockClock) -> None:
    """I1, I5, I6 in virtual time: one answer, 999 honest ends, no task left."""
    lines = [f"w{number} " for number in range(20)]
    async with Engine(lambda prompt: words(*lines, gap=0.015)).running() as engine:
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        clients = []
        for number in range(1000):
            clients.append(engine.send(str(number)))
            await trio.sleep(0.02 if number % 3 else 0)
        whole = await clients[-1].read()
        assert whole.endswith(b"<end stop>")
        ends = [await client.read() for client in clients[:-1]]
        assert all(end.endswith(b"<error superseded>") for end in ends)
        assert engine.provider.max_open == 1
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks_before
        await engine.assert_nothing_is_left()


async def test_the_log_tells_a_supersede_in_the_documented_order(
    autojump_clock: MockClock,
    logged: structlog.testing.LogCapture,
) -> None:
    script = by_prompt(A=stuck_in("window"), B=words("b"))
    async with Engine(script).running() as engine:
        engine.send("A")
        await wait_all_tasks_blocked()
        await engine.send("B").read()
    told = [(entry["event"], entry.get("trace")) for entry in logged.entries]
    expected = [
        ("stream_cancelled", "A"),
        ("flush_cancelled", "A"),
        ("flush_on_cleanup", "A"),
        ("cleanup_flush_task", "A"),
        ("cleanup_buffer", "A"),
        ("event_buffers_cleaned", "A"),
        ("cleanup_request_complete", "A"),
        ("stream_end", "A"),
        ("prev_stream_finished_cleanly", "A"),
        ("stream_start", "B"),
        ("first_event", "B"),
        ("stream_end", "B"),
    ]
    assert [line for line in told if line in expected] == [
        ("stream_start", "A"),
        *expected,
    ][1:]
    assert {"stream_cancelled": "registry_new_stream"}.items() <= {
        entry["event"]: entry.get("reason") for entry in logged.entries
    }.items()
    ends = [entry for entry in logged.entries if entry["event"] == "stream_end"]
    starts = [entry for entry in logged.entries if entry["event"] == "stream_start"]
    assert len(ends) == len(starts) == 2
    assert all(entry["cleanup_done"] is True for entry in ends)


async def test_a_loop_that_was_held_up_quarantines_nobody(autojump_clock: MockClock) -> None:
    """A cleanup that had no turn has not used its time."""
    let_go = trio.Event()
    script = by_prompt(A=Play(Text("a"), trio.Event(), close_hangs_until=let_go))
    async with Engine(script).running() as engine:
        client = engine.send("A")
        await client.read_until(b"[a]")
        client.reader.leave()
        await wait_all_tasks_blocked()
        autojump_clock.jump(5 * LIMITS.cleanup_timeout_seconds)
        let_go.set()
        await client.stream.finished.wait()
        assert not client.stream.quarantined
        await engine.assert_nothing_is_left()


async def test_i6_a_cleanup_that_takes_exactly_its_time_leaves_no_place_taken(
    autojump_clock: MockClock,
) -> None:
    """Whether it ends or its time does is then one round of the loop, in either order."""
    seconds = LIMITS.cleanup_timeout_seconds
    for _ in range(40):
        async with Engine(
            lambda _: Play(Text("a"), trio.Event(), close_takes_seconds=seconds)
        ).running() as engine:
            client = engine.send("A")
            await client.read_until(b"a")
            client.stream.cancel(Cause.STOPPED)
            await client.read()
            await client.stream.finished.wait()
            await engine.assert_nothing_is_left()
