"""What a client sees of the policies that leave a live answer alone (design §6)."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.events import Finish, Text
from tests.scripted import Play, words
from tests.web.server import by_prompt, refusal, serving, text_of

ENQUEUE = {"X-Session-Policy": "enqueue"}
REJECT = {"X-Session-Policy": "Reject"}
SLOW = Play(Text("a"), 5, Finish("stop"))


@pytest.mark.parametrize("stream", [True, False])
async def test_a_busy_session_rejects_with_a_409_that_must_not_be_retried(
    autojump_clock: MockClock, stream: bool
) -> None:
    async with serving(by_prompt(A=SLOW)) as server, server.chat("A", session="s") as first:
        assert await first.status() == 200
        async with server.chat("B", session="s", headers=REJECT, stream=stream) as rejected:
            assert await rejected.status() == 409
            error = await refusal(rejected)
            assert (error["type"], error["code"]) == ("invalid_request_error", "session_busy")
            assert rejected.headers["x-should-retry"] == "false"
            assert rejected.headers["x-session-id"] == "s"
            assert "x-stream-id" not in rejected.headers
        assert text_of(await first.read()) == "a"
        await server.assert_nothing_is_left()


@pytest.mark.parametrize("stream", [True, False])
async def test_an_enqueued_prompt_is_answered_when_the_one_before_it_is(
    autojump_clock: MockClock, stream: bool
) -> None:
    script = by_prompt(A=SLOW, B=words("b"))
    async with serving(script) as server, server.chat("A", session="s") as first:
        assert await first.status() == 200
        async with server.chat("B", session="s", headers=ENQUEUE, stream=stream) as second:
            assert await second.status() == 200
            body = await second.read()
            assert trio.current_time() >= 5
            assert (text_of(body) == "b") if stream else (b'"content":"b"' in body)
        assert text_of(await first.read()) == "a"
        assert server.provider.max_open == 1
        await server.assert_nothing_is_left()


async def test_a_client_that_leaves_the_queue_is_out_of_it(autojump_clock: MockClock) -> None:
    script = by_prompt(A=SLOW, B=words("b"), C=words("c"))
    async with serving(script) as server, server.chat("A", session="s") as first:
        assert await first.status() == 200
        async with server.chat("B", session="s", headers=ENQUEUE):
            await wait_all_tasks_blocked()
            assert await server.metric("jarvis_streams_live") == 2
        await wait_all_tasks_blocked()
        assert await server.metric("jarvis_streams_live") == 1
        async with server.chat("C", session="s", headers=ENQUEUE) as third:
            assert text_of(await third.read()) == "c"
        assert ("open", "B") not in server.provider.history
        await first.read()
        await server.assert_nothing_is_left()


async def test_a_full_queue_is_429_with_retry_after(autojump_clock: MockClock) -> None:
    async with (
        serving(lambda _: SLOW, max_queue=1) as server,
        server.chat("A", session="s") as first,
        server.chat("B", session="s", headers=ENQUEUE) as second,
    ):
        await wait_all_tasks_blocked()
        async with server.chat("C", session="s", headers=ENQUEUE) as refused:
            assert await refused.status() == 429
            error = await refusal(refused)
            assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
            assert refused.headers["retry-after"] == "1"
        assert text_of(await first.read()) == text_of(await second.read()) == "a"
        await server.assert_nothing_is_left()


async def test_a_setting_says_which_policy_holds_where_the_client_does_not(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=SLOW, B=words("b"))
    async with serving(script, session_policy="reject") as server:
        async with server.chat("A", session="s") as first:
            assert await first.status() == 200
            async with server.chat("B", session="s") as second:
                assert await second.status() == 409
            async with server.chat("B", session="another") as other:
                assert text_of(await other.read()) == "b"
            interrupt = {"X-Session-Policy": "interrupt"}
            async with server.chat("B", session="s", headers=interrupt) as third:
                assert text_of(await third.read()) == "b"
            assert b"superseded" in await first.read()
        await server.assert_nothing_is_left()
