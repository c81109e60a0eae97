"""The Stop button: what it is told, and who may press it (design §8)."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.asgi_client import Exchange
from tests.scripted import words
from tests.web.server import DEVKEY, JSON, Server, by_prompt, events, refusal, serving, stuck_in

ENQUEUE = {"X-Session-Policy": "enqueue"}


def cancel(server: Server, path: str, body: Any = None, key: str = "devkey") -> Any:
    """Press Stop."""
    headers = {"Authorization": f"Bearer {key}"}
    content = b"" if body is None else json.dumps(body).encode()
    return server.request("POST", f"/v1/{path}/cancel", headers=headers | JSON, body=content)


async def receipt_of(exchange: Exchange) -> Any:
    assert await exchange.status() == 200
    return await exchange.json()


async def test_a_stop_by_session_is_answered_with_what_was_seen(autojump_clock: MockClock) -> None:
    async with serving(by_prompt(A=stuck_in("decode"))) as server:
        async with server.chat("A", session="s") as live:
            assert await live.status() == 200
            await wait_all_tasks_blocked()
            async with cancel(server, "sessions/s") as stop:
                receipt = await receipt_of(stop)
            assert receipt == {
                "session_id": "s",
                "stream_id": live.headers["x-stream-id"],
                "cause": "stopped",
                "phase": "decode",
                "tokens_sent": 1,
                "upstream_closed_ms": 0.0,
                "backend_idle_ms": 0.0,
                "status": "cancelled",
            }
            assert server.provider.open == 0
            got = events(await live.read())
            assert got[-2]["error"]["code"] == "stopped"
            assert got[-1] == "[DONE]"
        await server.assert_nothing_is_left()


async def test_a_stop_by_stream_does_the_same_and_says_later_that_it_had_ended(
    autojump_clock: MockClock,
) -> None:
    async with serving(by_prompt(A=stuck_in("prefill"))) as server:
        async with server.chat("A") as live:
            assert await live.status() == 200
            path = f"streams/{live.headers['x-stream-id']}"
            async with cancel(server, path) as stop:
                receipt = await receipt_of(stop)
                assert (receipt["status"], receipt["phase"]) == ("cancelled", "prefill")
            await live.read()
        for again in (path, f"sessions/{live.headers['x-session-id']}"):
            async with cancel(server, again) as stop:
                receipt = await receipt_of(stop)
                assert (receipt["status"], receipt["cause"]) == ("already_ended", "stopped")
                assert receipt["stream_id"] == live.headers["x-stream-id"]
        await server.assert_nothing_is_left()


async def test_a_stop_of_a_stream_that_is_not_current_is_409_and_harms_nothing(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=words("a"), B=words("b", gap=5))
    async with serving(script) as server:
        async with server.chat("A", session="s") as old:
            await old.read()
        stale = {"stream_id": old.headers["x-stream-id"]}
        async with server.chat("B", session="s") as live:
            assert await live.status() == 200
            async with cancel(server, "sessions/s", stale) as stop:
                assert await stop.status() == 409
                assert (await refusal(stop))["code"] == "not_current"
                assert stop.headers["x-should-retry"] == "false"
            assert events(await live.read())[-1] == "[DONE]"
            async with cancel(server, "sessions/s", stale) as stop:
                assert await stop.status() == 409
        await server.assert_nothing_is_left()


async def test_a_prompt_in_the_queue_can_be_named_and_the_live_one_goes_on(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=words("a", gap=5), B=words("b"))
    async with serving(script) as server, server.chat("A", session="s") as live:
        assert await live.status() == 200
        async with server.chat("B", session="s", headers=ENQUEUE) as queued:
            assert await queued.status() == 200  # committed while it waits
            named = {"stream_id": queued.headers["x-stream-id"]}
            async with cancel(server, "sessions/s", named) as stop:
                receipt = await receipt_of(stop)
                assert (receipt["phase"], receipt["status"]) == ("queued", "cancelled")
            assert events(await queued.read())[-2]["error"]["code"] == "stopped"
        assert events(await live.read())[-1] == "[DONE]"
        assert ("open", "B") not in server.provider.history
        await server.assert_nothing_is_left()


async def test_a_stop_that_is_not_streamed_ends_a_whole_answer_with_409(
    autojump_clock: MockClock,
) -> None:
    async with serving(by_prompt(A=stuck_in("decode"))) as server:
        async with server.chat("A", session="s", stream=False) as live:
            await wait_all_tasks_blocked()
            async with cancel(server, "sessions/s") as stop:
                assert (await receipt_of(stop))["status"] == "cancelled"
            assert await live.status() == 409
            assert (await refusal(live))["code"] == "stopped"
            assert live.headers["x-should-retry"] == "false"
        await server.assert_nothing_is_left()


async def test_to_another_key_there_is_nothing_to_stop(autojump_clock: MockClock) -> None:
    script = by_prompt(A=stuck_in("decode"))
    mine = {"Authorization": "Bearer mine"}
    async with serving(script, api_keys=("mine", "yours")) as server:
        async with server.chat("A", session="s", headers=mine) as live:
            assert await live.status() == 200
            for path in ("sessions/s", f"streams/{live.headers['x-stream-id']}"):
                async with cancel(server, path, key="yours") as stop:
                    assert await stop.status() == 404
                    assert (await refusal(stop))["code"] == "not_found"
                async with cancel(server, path, key="wrong") as stop:
                    assert await stop.status() == 401
            assert server.provider.open == 1
            async with cancel(server, "sessions/s", key="mine") as stop:
                assert (await receipt_of(stop))["status"] == "cancelled"
        await server.assert_nothing_is_left()


@pytest.mark.parametrize("path", ["sessions/never-heard-of", "streams/str_01"])
async def test_what_there_never_was_is_404(autojump_clock: MockClock, path: str) -> None:
    async with serving() as server, cancel(server, path) as stop:
        assert await stop.status() == 404


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"stream_id": 5}', b"\xff", b"[" * 100_000])
async def test_a_stop_that_cannot_be_read_is_400_and_stops_nothing(
    autojump_clock: MockClock, body: bytes
) -> None:
    async with serving(by_prompt(A=stuck_in("decode"))) as server:
        async with server.chat("A", session="s") as live:
            assert await live.status() == 200
            path = "/v1/sessions/s/cancel"
            async with server.request("POST", path, headers=DEVKEY | JSON, body=body) as stop:
                assert await stop.status() == 400
                assert "stream_id" in (await refusal(stop))["message"]
            assert server.provider.open == 1
        await server.assert_nothing_is_left()


async def test_who_presses_stop_and_leaves_has_stopped_it(autojump_clock: MockClock) -> None:
    let_go = trio.Event()
    async with serving(by_prompt(A=stuck_in("decode", let_go))) as server:
        async with server.chat("A", session="s") as live:
            assert await live.status() == 200
            async with cancel(server, "sessions/s"):
                await wait_all_tasks_blocked()
            let_go.set()
            assert events(await live.read())[-2]["error"]["code"] == "stopped"
        await server.assert_nothing_is_left()
