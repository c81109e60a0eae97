"""The arithmetic of stalls, in virtual time; real sockets are in the end-to-end tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.web.client_socket import UNKNOWN, ClientSocket, Progress
from jarvis_trio.web.stall_watch import StallWatch

TIMEOUT = 20


class FakeClientSocket(ClientSocket):
    """Tells what its kernel would."""

    def __init__(self, waiting: int = 100) -> None:
        self.writes = 0
        self.waiting = waiting
        self.looks = 0
        self.shut_downs = 0

    def progress(self) -> Progress:
        self.looks += 1
        return Progress(self.writes, self.waiting)

    def shut_down(self) -> None:
        self.shut_downs += 1


class Sender:
    """A response with a send under way."""

    def __init__(
        self, client_socket: ClientSocket | None, *, shares_connection: bool = False
    ) -> None:
        self.client_socket = client_socket
        self.shares_connection = shares_connection
        self.given_up_at: float | None = None

    def give_up(self) -> None:
        self.given_up_at = trio.current_time()


@asynccontextmanager
async def watching() -> AsyncIterator[StallWatch]:
    watch = StallWatch(TIMEOUT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)  # noqa: ASYNC113 - it may begin late
        yield watch
        nursery.cancel_scope.cancel(reason="the test is over")


@pytest.mark.parametrize("waiting", [100, UNKNOWN])
async def test_a_connection_that_stands_still_is_shut_down_in_time(
    autojump_clock: MockClock, waiting: int
) -> None:
    socket = FakeClientSocket(waiting)
    sender = Sender(socket)
    async with watching() as watch:
        await trio.sleep(3)
        began = trio.current_time()
        watch.begin(sender)
        await trio.sleep(TIMEOUT)
        assert sender.given_up_at is None
        await trio.sleep(TIMEOUT / 2)
        assert sender.given_up_at is not None
        assert TIMEOUT <= sender.given_up_at - began <= 1.5 * TIMEOUT
        assert socket.shut_downs == 1
        await trio.sleep(10 * TIMEOUT)
        assert socket.shut_downs == 1


async def test_all_that_is_sent_on_a_connection_that_stands_still_is_given_up(
    autojump_clock: MockClock,
) -> None:
    socket, other = FakeClientSocket(), FakeClientSocket()
    senders = [Sender(socket, shares_connection=True) for _ in range(3)]
    bystander = Sender(other)
    async with watching() as watch:
        for sender in (*senders, bystander):
            watch.begin(sender)
        for _ in range(2 * TIMEOUT):
            await trio.sleep(1)
            other.waiting -= 1
    assert all(sender.given_up_at is not None for sender in senders)
    assert bystander.given_up_at is None
    assert socket.shut_downs > 0
    assert other.shut_downs == 0


@pytest.mark.parametrize("shares_connection", [False, True])
@pytest.mark.parametrize("what_moves", ["writes", "waiting"])
async def test_while_anything_moves_only_a_shared_connections_own_stream_is_given_up(
    autojump_clock: MockClock, what_moves: str, shares_connection: bool
) -> None:
    socket = FakeClientSocket(waiting=1000)
    sender = Sender(socket, shares_connection=shares_connection)
    async with watching() as watch:
        watch.begin(sender)
        for _ in range(100):
            await trio.sleep(1)
            if what_moves == "writes":  # and as many bytes wait each time one looks
                socket.writes += 1
            else:
                socket.waiting -= 1
    assert socket.shut_downs == 0
    assert (sender.given_up_at is not None) is shares_connection


@pytest.mark.parametrize("moves_at", [3, 8, 18])
async def test_a_connection_that_stands_still_a_little_after_its_streams_ends_with_them(
    autojump_clock: MockClock, moves_at: int
) -> None:
    """Given up alone, they would leave it behind: without a request, it would only be idle."""
    socket = FakeClientSocket()
    senders = [Sender(socket, shares_connection=True) for _ in range(3)]
    async with watching() as watch:
        for sender in senders:
            watch.begin(sender)
        await trio.sleep(moves_at)
        socket.waiting -= 1
        await trio.sleep(1.5 * TIMEOUT)
    assert all(sender.given_up_at is not None for sender in senders)
    assert socket.shut_downs > 0


async def test_a_client_that_has_taken_all_there_was_does_not_stand_still(
    autojump_clock: MockClock,
) -> None:
    """It withholds an HTTP/2 stream's window while its other streams have nothing to say."""
    socket = FakeClientSocket(waiting=0)
    sender = Sender(socket, shares_connection=True)
    async with watching() as watch:
        watch.begin(sender)
        await trio.sleep(2 * TIMEOUT)
    assert socket.shut_downs == 0
    assert sender.given_up_at is not None


async def test_without_a_socket_nothing_is_known_and_nobody_given_up(
    autojump_clock: MockClock,
) -> None:
    sender = Sender(None, shares_connection=True)
    async with watching() as watch:
        watch.begin(sender)
        await trio.sleep(10 * TIMEOUT)
    assert sender.given_up_at is None


async def test_quick_sends_are_never_looked_at_and_an_idle_watch_sleeps(
    autojump_clock: MockClock,
) -> None:
    socket = FakeClientSocket()
    sender = Sender(socket)
    async with watching() as watch:
        for _ in range(200):
            watch.begin(sender)
            await trio.sleep(1)
            watch.end(sender)
            watch.end(sender)
        await trio.sleep(10_000)
    assert socket.looks == 0
    assert sender.given_up_at is None
