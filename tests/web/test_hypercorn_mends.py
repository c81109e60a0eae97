"""What is replaced in Hypercorn, where no socket is needed to see it."""

from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, Response
from hypercorn.protocol.h2 import StreamBuffer
from hypercorn.trio.worker_context import EventWrapper, WorkerContext
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.web.hypercorn_h11 import MendedH11Protocol
from jarvis_trio.web.hypercorn_mends import mend_hypercorn

SLICE = 16_384


async def test_a_send_over_http2_lasts_until_what_it_brought_is_on_its_way(
    autojump_clock: MockClock,
) -> None:
    """So the last one, which waits until nothing is left, waits for no other's bytes."""
    mend_hypercorn()
    buffer = StreamBuffer(EventWrapper)
    pushed = trio.Event()

    async def push() -> None:
        await buffer.push(bytes(SLICE))
        pushed.set()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            for length in (0, SLICE - 1, 0):  # no window, less than it takes, no window again
                await wait_all_tasks_blocked()
                assert not pushed.is_set()
                await buffer.pop(length)
            await wait_all_tasks_blocked()
            assert not pushed.is_set()
            await buffer.pop(SLICE)
        assert pushed.is_set()
        await buffer.drain()
        await buffer.push(b"")
        await buffer.drain()  # nothing to wait for


async def test_a_send_over_http2_ends_with_its_stream(autojump_clock: MockClock) -> None:
    mend_hypercorn()
    buffer = StreamBuffer(EventWrapper)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(buffer.push, bytes(SLICE))
            await wait_all_tasks_blocked()
            await buffer.close()


async def test_an_answer_behind_the_end_of_its_connection_goes_nowhere() -> None:
    """Its request is being told of the end, which takes a step; it is no fault of anybody's."""
    sent: list[Event] = []

    async def send(event: Event) -> None:
        sent.append(event)

    nothing: Any = None
    context = WorkerContext(None)
    protocol = MendedH11Protocol(
        nothing, Config(), context, nothing, nothing, False, nothing, nothing, send
    )
    with trio.fail_after(5):
        await protocol.handle(Closed())
        await protocol.stream_send(Response(stream_id=1, headers=[], status_code=200))
        await protocol.stream_send(Body(stream_id=1, data=b"x"))
    assert sent == []


async def test_a_request_that_is_read_behind_the_end_of_its_connection_begins_nothing() -> None:
    """Nobody would tell it that its client has gone."""
    nothing: Any = None
    protocol = MendedH11Protocol(
        nothing, Config(), WorkerContext(None), nothing, nothing, False, nothing, nothing, nothing
    )
    with trio.fail_after(5):
        await protocol.handle(Closed())
        await protocol.handle(RawData(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert protocol.stream is None
