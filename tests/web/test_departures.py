"""A client that goes away takes its answer with it, whatever it went away from."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.scripted import words
from tests.web.server import by_prompt, events, serving, stuck_in, text_of


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("after", [0, 0.5, 30])
@pytest.mark.parametrize("phase", ["connect", "prefill", "decode"])
async def test_a_departure_closes_the_upstream_at_once_in_every_phase(
    autojump_clock: MockClock, phase: str, after: float, stream: bool
) -> None:
    """Also for ``stream=false`` (I10), before the headers and after them."""
    async with serving(lambda _: stuck_in(phase)) as server:
        async with server.chat("A", stream=stream) as exchange:
            await wait_all_tasks_blocked()
            await trio.sleep(after)
            assert server.provider.open == 1
            exchange.disconnect()
            await wait_all_tasks_blocked()
            assert trio.current_time() == after
            assert server.provider.history[-1] == ("closed", "A")
            assert exchange.ended.is_set()
        await server.assert_nothing_is_left()
        assert await server.metric('jarvis_streams_ended_total{cause="client_disconnect"}') == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("after", [0, 1.5])
async def test_a_departure_while_it_waits_for_its_predecessor_never_reaches_the_upstream(
    autojump_clock: MockClock, after: float, stream: bool
) -> None:
    let_go = trio.Event()
    script = by_prompt(A=stuck_in("decode", let_go), B=words("b"))
    async with serving(script) as server, server.chat("A", session="s") as first:
        assert await first.status() == 200
        async with server.chat("B", session="s", stream=stream) as second:
            await wait_all_tasks_blocked()
            await trio.sleep(after)
            second.disconnect()
            await wait_all_tasks_blocked()
            assert second.ended.is_set()
            assert await server.metric("jarvis_streams_live") == 1
        let_go.set()
        assert events(await first.read())[-1] == "[DONE]"
        assert server.provider.history == [("open", "A"), ("accepted", "A"), ("closed", "A")]
        await server.assert_nothing_is_left()


async def test_a_departure_while_the_body_is_still_coming_opens_nothing(
    autojump_clock: MockClock,
) -> None:
    async with serving() as server:
        async with server.chat(body=b'{"prompt"', finishes=False) as exchange:
            await wait_all_tasks_blocked()
            exchange.disconnect()
            await wait_all_tasks_blocked()
            assert exchange.ended.is_set()
        assert server.provider.history == []


@pytest.mark.parametrize("reads", [0, 1])
@pytest.mark.parametrize("departs", ["by a reset", "by half-closing"])
async def test_a_departure_while_a_send_is_pending_closes_the_upstream_at_once(
    autojump_clock: MockClock, reads: int, departs: str
) -> None:
    """I3. Hypercorn's send is shielded: what a departure ends must not wait for it.

    With nothing read, the response's head is pending: its view has returned, its body was never
    entered.
    """
    async with serving(lambda _: stuck_in("decode")) as server:
        async with server.chat("A", reads=reads) as exchange:
            await wait_all_tasks_blocked()
            assert server.provider.open == 1
            if departs == "by a reset":
                exchange.disconnect()
            else:
                exchange.half_close()
            await wait_all_tasks_blocked()
            assert server.provider.open == 0
            assert exchange.ended.is_set() is (departs == "by a reset")
            await server.assert_nothing_is_left()
        assert trio.current_time() == 0


async def test_a_stalled_client_of_a_whole_answer_holds_no_upstream(
    autojump_clock: MockClock,
) -> None:
    async with serving() as server, server.chat(stream=False, reads=0) as exchange:
        await wait_all_tasks_blocked()
        await server.assert_nothing_is_left()
        assert not exchange.ended.is_set()


@pytest.mark.parametrize("stream", [True, False])
async def test_the_disconnect_that_follows_the_last_message_cancels_nothing(
    autojump_clock: MockClock, stream: bool
) -> None:
    """Else Hypercorn would never close or reuse a connection: it is still inside that send."""
    async with serving() as server, server.chat(stream=stream) as exchange:
        await exchange.read()
        await wait_all_tasks_blocked()
        assert exchange.is_complete
        assert exchange.ended.is_set()
        assert await server.metric('jarvis_streams_ended_total{cause="completed"}') == 1


async def test_a_departure_harms_no_other_stream(autojump_clock: MockClock) -> None:
    """I8."""
    script = by_prompt(A=stuck_in("decode"), X=words("x1 ", "x2 ", "x3", gap=5))
    async with serving(script) as server, server.chat("X") as other:
        async with server.chat("A"):
            await trio.sleep(7)
        assert text_of(await other.read()) == "x1 x2 x3"


async def test_hundreds_of_departures_leave_no_task_behind(autojump_clock: MockClock) -> None:
    """I6: in all phases, streamed and whole, read and stalled."""
    phases = ["connect", "prefill", "decode"]
    async with serving(stuck_in) as server:
        await wait_all_tasks_blocked()
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as clients:

            async def come_and_go(number: int) -> None:
                reads = 1 if number % 4 == 0 else float("inf")
                phase = phases[number % 3]
                async with server.chat(phase, stream=number % 2 == 0, reads=reads):
                    await trio.sleep(number / 100)

            for number in range(300):
                clients.start_soon(come_and_go, number)
        await server.assert_nothing_is_left()
        assert server.provider.max_open > 100
        assert trio.lowlevel.current_statistics().tasks_living == tasks_before
