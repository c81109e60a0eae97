"""What clients see when the server goes down while they wait or read."""

import json

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.events import ChatEvent
from tests.scripted import Play
from tests.web.server import Server, events, serving, stuck_in


class Observer:
    """A client outside of the server's own tree, which it outlives."""

    def __init__(self) -> None:
        self.server: Server
        self.status = 0
        self.body = b""
        self.headers: dict[str, str] = {}

    async def watch(self, stream: bool) -> None:
        async with self.server.chat("A", stream=stream) as exchange:
            self.status = await exchange.status()
            self.body = await exchange.read()
            self.headers = exchange.headers


async def shut_down_during(play: Play, *, stream: bool) -> Observer:
    observer = Observer()
    async with trio.open_nursery() as clients:
        async with serving(lambda _: play) as server:
            observer.server = server
            clients.start_soon(observer.watch, stream)
            await wait_all_tasks_blocked()
        assert server.provider.open == 0
    return observer


@pytest.mark.parametrize(
    ("phase", "stream"),
    [("connect", True), ("connect", False), ("prefill", False), ("decode", False)],
)
async def test_a_shutdown_before_the_headers_is_503_with_retry_after(
    autojump_clock: MockClock, phase: str, stream: bool
) -> None:
    observer = await shut_down_during(stuck_in(phase), stream=stream)
    assert observer.status == 503
    error = json.loads(observer.body)["error"]
    assert (error["type"], error["code"]) == ("unavailable_error", "server_shutdown")
    assert observer.headers["retry-after"] == "5"


@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_a_shutdown_after_the_headers_is_an_error_frame_and_done(
    autojump_clock: MockClock, phase: str
) -> None:
    observer = await shut_down_during(stuck_in(phase), stream=True)
    assert observer.status == 200
    got = events(observer.body)
    assert got[-2]["error"]["code"] == "server_shutdown"
    assert got[-1] == "[DONE]"


async def test_a_shutdown_waits_for_a_cleanup_only_so_long(autojump_clock: MockClock) -> None:
    """The provider's close takes a second: less than the two that a cleanup has."""
    closes = trio.Event()

    async def close_later() -> None:
        await trio.sleep(1)
        closes.set()

    observer = Observer()
    async with trio.open_nursery() as helpers:
        async with serving(lambda _: stuck_in("decode", closes)) as server:
            observer.server = server
            helpers.start_soon(observer.watch, True)
            await wait_all_tasks_blocked()
            helpers.start_soon(close_later)
        assert trio.current_time() == 1
    assert events(observer.body)[-1] == "[DONE]"


async def test_subscribers_are_told_how_a_stream_ended_by_a_shutdown(
    autojump_clock: MockClock,
) -> None:
    """The service announces it: so it must not be cancelled before it has closed in order."""
    observer = Observer()
    told: list[ChatEvent] = []

    async def tell(event: ChatEvent) -> None:
        await trio.lowlevel.checkpoint()
        told.append(event)

    async with trio.open_nursery() as clients, serving(lambda _: stuck_in("decode")) as server:
        server.bus.subscribe("chat.end", tell)
        observer.server = server
        clients.start_soon(observer.watch, True)
        await wait_all_tasks_blocked()
    assert [event.data["cause"] for event in told] == ["shutdown"]


async def test_the_log_tells_of_a_shutdown_in_order(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    await shut_down_during(stuck_in("decode"), stream=True)
    told = [entry["event"] for entry in logged.entries]
    assert told.index("stream_cancelled") < told.index("stream_end")
    assert told.index("stream_end") < told.index("events_bus_closed")
    reasons = [e["reason"] for e in logged.entries if e["event"] == "stream_cancelled"]
    assert reasons == ["shutdown"]
