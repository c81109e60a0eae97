"""The body of a streaming answer, and the pings that keep it open, in virtual time."""

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, assert_no_checkpoints, wait_all_tasks_blocked

from jarvis_trio.engine.replay import ReplayBuffer
from jarvis_trio.web.response_body import Keepalive, StreamBody
from jarvis_trio.wire.event_ids import split_events

PING = b": ping\n\n"


@asynccontextmanager
async def keeping_alive(seconds: float = 10) -> AsyncIterator[Keepalive]:
    keepalive = Keepalive(seconds, PING)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keepalive.run)  # noqa: ASYNC113 - it may begin late
        yield keepalive
        nursery.cancel_scope.cancel(reason="the test is over")


class Client:
    """Takes a body's pieces, each as long as it likes."""

    def __init__(self, buffer: ReplayBuffer, keepalive: Keepalive) -> None:
        self.body = StreamBody(buffer.attach(), keepalive)
        self.received: list[tuple[float, bytes]] = []
        self.began = trio.current_time()

    async def read(self, seconds_each: float = 0) -> None:
        async with self.body as pieces:
            async for piece in pieces:
                self.received.append((trio.current_time() - self.began, piece))
                await trio.sleep(seconds_each)


def new_buffer() -> ReplayBuffer:
    return ReplayBuffer(1 << 20, on_abandoned=lambda _: None, split=split_events)


async def test_each_body_is_pinged_by_its_own_silence(autojump_clock: MockClock) -> None:
    async with keeping_alive() as keepalive, trio.open_nursery() as nursery:
        quiet, lively = new_buffer(), new_buffer()
        first, second = Client(quiet, keepalive), Client(lively, keepalive)
        nursery.start_soon(first.read)
        nursery.start_soon(second.read)
        for _ in range(4):
            await trio.sleep(6)
            lively.append(b"x")
        quiet.close()
        lively.close()
    assert first.received == [(10, PING), (20, PING)]
    assert second.received == [(6, b"x"), (12, b"x"), (18, b"x"), (24, b"x")]


async def test_a_body_that_begins_later_is_pinged_in_its_own_time(
    autojump_clock: MockClock,
) -> None:
    async with keeping_alive() as keepalive, trio.open_nursery() as nursery:
        buffer = new_buffer()
        first = Client(buffer, keepalive)
        nursery.start_soon(first.read)
        await trio.sleep(4)
        second = Client(buffer, keepalive)
        nursery.start_soon(second.read)
        await trio.sleep(11)
        buffer.close()
    assert first.received == second.received == [(10, PING)]


async def test_a_client_that_takes_its_time_is_not_pinged_meanwhile(
    autojump_clock: MockClock,
) -> None:
    """Something is on its way to it: a ping behind it would be old news."""
    async with keeping_alive() as keepalive, trio.open_nursery() as nursery:
        buffer = new_buffer()
        client = Client(buffer, keepalive)
        nursery.start_soon(client.read, 35)
        buffer.append(b"a")
        await trio.sleep(40)
        buffer.append(b"b")
        buffer.close()
    assert client.received == [(0, b"a"), (40, b"b")]


async def test_a_ping_for_one_reader_is_none_for_another(autojump_clock: MockClock) -> None:
    buffer = new_buffer()
    async with keeping_alive(10) as often, keeping_alive(1000) as seldom:
        one, other = Client(buffer, often), Client(buffer, seldom)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.read)
            nursery.start_soon(other.read)
            await trio.sleep(15)
            buffer.append(b"x")
            buffer.close()
    assert one.received == [(10, PING), (15, b"x")]
    assert other.received == [(15, b"x")]


async def test_a_keepalive_without_bodies_waits(autojump_clock: MockClock) -> None:
    async with keeping_alive() as keepalive:
        for _ in range(2):
            buffer = new_buffer()
            client = Client(buffer, keepalive)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.read)
                await trio.sleep(12)
                buffer.close()
            assert client.received == [(10, PING)]
            await trio.sleep(100)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_body_that_has_ended_is_kept_no_longer(
    autojump_clock: MockClock, cancelled: bool
) -> None:
    async with keeping_alive() as keepalive:
        buffer = new_buffer()
        client = Client(buffer, keepalive)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read)
            await trio.sleep(5)
            if cancelled:
                nursery.cancel_scope.cancel(reason="the client has gone")
            buffer.close()
        body = weakref.ref(client.body)
        del client
        await wait_all_tasks_blocked()
        gc.collect()
        assert body() is None


async def test_a_body_that_ends_as_soon_as_it_begins_ends_no_keepalive(
    autojump_clock: MockClock,
) -> None:
    """A whole answer may be there already, and sent without a wait."""
    async with keeping_alive() as keepalive:
        await wait_all_tasks_blocked()
        buffer = new_buffer()
        buffer.close()
        with assert_no_checkpoints():
            await Client(buffer, keepalive).read()
        await wait_all_tasks_blocked()
        buffer = new_buffer()
        client = Client(buffer, keepalive)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read)
            await trio.sleep(12)
            buffer.close()
        assert client.received == [(10, PING)]


async def test_many_that_wait_are_pinged_in_few_rounds(autojump_clock: MockClock) -> None:
    async with keeping_alive() as keepalive, trio.open_nursery() as nursery:
        buffer = new_buffer()
        clients = []
        for _ in range(100):
            clients.append(Client(buffer, keepalive))
            nursery.start_soon(clients[-1].read)
            await trio.sleep(0.005)
        await trio.sleep(11)
        buffer.close()
    times = {round(client.began + client.received[0][0], 6) for client in clients}
    assert all([piece for _, piece in client.received] == [PING] for client in clients)
    assert len(times) == 1
