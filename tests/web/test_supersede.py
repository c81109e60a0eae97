"""What both clients see when a new prompt takes a session over (I1, I2, I10)."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.scripted import words
from tests.web.server import by_prompt, events, refusal, serving, stuck_in, text_of


@pytest.mark.parametrize(
    ("stream", "phase"),
    [(True, "connect"), (False, "connect"), (False, "prefill"), (False, "decode")],
)
async def test_before_its_headers_a_superseded_prompt_is_409_and_must_not_be_retried(
    autojump_clock: MockClock, stream: bool, phase: str
) -> None:
    script = by_prompt(A=stuck_in(phase), B=words("b"))
    async with serving(script) as server, server.chat("A", session="s", stream=stream) as first:
        await wait_all_tasks_blocked()
        async with server.chat("B", session="s") as second:
            assert text_of(await second.read()) == "b"
            successor = second.headers["x-stream-id"]
        assert await first.status() == 409
        error = await refusal(first)
        assert (error["type"], error["code"]) == ("invalid_request_error", "superseded")
        assert error["superseded_by"] == successor
        assert first.headers["x-should-retry"] == "false"
        assert first.headers["x-session-id"] == "s"
        assert first.headers["x-stream-id"] != successor
        assert server.provider.max_open == 1
        await server.assert_nothing_is_left()


@pytest.mark.parametrize("phase", ["connect", "prefill", "decode"])
async def test_after_its_headers_a_superseded_prompt_ends_with_an_error_frame_and_done(
    autojump_clock: MockClock, phase: str
) -> None:
    script = by_prompt(A=stuck_in(phase), B=words("b"))
    async with serving(script) as server, server.chat("A", session="s") as first:
        assert await first.status() == 200
        async with server.chat("B", session="s") as second:
            assert text_of(await second.read()) == "b"
        got = events(await first.read())
        assert len(got) == (4 if phase == "decode" else 3)
        assert got[-2]["error"]["code"] == "superseded"
        assert got[-2]["error"]["superseded_by"] == second.headers["x-stream-id"]
        assert got[-1] == "[DONE]"
        assert server.provider.max_open == 1
        await server.assert_nothing_is_left()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_superseded_while_it_waits_is_409_and_never_reaches_the_upstream(
    autojump_clock: MockClock, stream: bool
) -> None:
    let_go = trio.Event()
    script = by_prompt(A=stuck_in("decode", let_go), B=words("b"), C=words("c"))
    async with serving(script) as server, server.chat("A", session="s") as first:
        assert await first.status() == 200
        async with server.chat("B", session="s", stream=stream) as second:
            await wait_all_tasks_blocked()
            async with server.chat("C", session="s") as third:
                assert await second.status() == 409
                assert (await refusal(second))["code"] == "superseded"
                assert second.headers["x-should-retry"] == "false"
                let_go.set()
                assert text_of(await third.read()) == "c"
        assert ("open", "B") not in server.provider.history
        await server.assert_nothing_is_left()


async def test_a_prompt_that_waits_for_a_hanging_predecessor_gets_headers_and_then_its_answer(
    autojump_clock: MockClock,
) -> None:
    """I4: the predecessor has two seconds; the headers do not wait for them."""
    never = trio.Event()
    script = by_prompt(A=stuck_in("decode", never), B=words("b"))
    async with serving(script, cleanup_timeout_s=2) as server:
        async with server.chat("A", session="s") as first:
            assert await first.status() == 200
            async with server.chat("B", session="s") as second:
                assert await second.status() == 200
                assert trio.current_time() == 1
                assert text_of(await second.read()) == "b"
                assert trio.current_time() == 2
            assert events(await first.read())[-2]["error"]["code"] == "superseded"
            assert await server.metric("jarvis_streams_quarantined_total") == 1
            never.set()
        await server.assert_nothing_is_left()


async def test_a_client_that_stalls_does_not_delay_its_successor(
    autojump_clock: MockClock,
) -> None:
    """I3: the old response is pinned in a send that nothing can cancel."""
    script = by_prompt(A=stuck_in("decode"), B=words("b"))
    async with serving(script) as server, server.chat("A", session="s", reads=1) as stalled:
        assert await stalled.status() == 200
        await wait_all_tasks_blocked()
        async with server.chat("B", session="s") as second:
            assert text_of(await second.read()) == "b"
            assert trio.current_time() == 0
        history = server.provider.history
        assert history.index(("closed", "A")) < history.index(("open", "B"))
        await server.assert_nothing_is_left()


async def test_a_superseded_stream_does_not_touch_other_sessions(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=stuck_in("decode"), B=words("b"), X=words("x1 ", "x2", gap=5))
    async with (
        serving(script) as server,
        server.chat("X", session="other") as other,
        server.chat("X") as lone,
    ):
        async with server.chat("A", session="s"), server.chat("B", session="s") as second:
            await second.read()
        assert text_of(await other.read()) == text_of(await lone.read()) == "x1 x2"


async def test_a_prompt_that_comes_after_one_that_its_client_sent_later_is_superseded(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(B=stuck_in("decode"), C=words("c"))
    first, second = {"X-Prompt-Order": "tab_5-f.9"}, {"X-Prompt-Order": "tab_5-f.10"}
    async with serving(script) as server, server.chat("B", session="s", headers=second) as newer:
        assert await newer.status() == 200
        async with server.chat("A", session="s", headers=first) as held_up:
            assert await held_up.status() == 409
            error = await refusal(held_up)
            assert error["code"] == "superseded"
            assert error["superseded_by"] == newer.headers["x-stream-id"]
            assert held_up.headers["x-should-retry"] == "false"
        async with server.chat("C", session="s", headers={"X-Prompt-Order": ""}) as third:
            assert text_of(await third.read()) == "c"
        await server.assert_nothing_is_left()


@pytest.mark.parametrize(
    "order", ["7", "tab.", "tab.-1", "a b.1", ".1", "tab.1.2", "t" * 65 + ".1"]
)
async def test_an_order_that_is_none_is_refused(autojump_clock: MockClock, order: str) -> None:
    async with serving(by_prompt()) as server:
        async with server.chat("A", session="s", headers={"X-Prompt-Order": order}) as refused:
            assert await refused.status() == 400
            assert (await refusal(refused))["param"] == "X-Prompt-Order"
        await server.assert_nothing_is_left()
