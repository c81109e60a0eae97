"""QUIC connections over a socket that is none."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent, StreamDataReceived
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.web.quic_connections import (
    GAPS,
    HANDSHAKES,
    UNDELIVERED_BYTES,
    Address,
    Connection,
    Patience,
    QuicServer,
)
from tests.web.quic_client import CLIENT, Client, Frame, Socket, server_configuration

IDLE_SECONDS = 20
PATIENCE = Patience(before_the_first=1000, between=1000)
SHORT = Patience(before_the_first=3, between=5)


class Listener:
    """Says nothing; notes what it hears."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_busy = False
        self.grows_busy = False
        self.heard: list[bytes] = []
        self.has_ended = False

    async def handle(self, quic_event: QuicEvent) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(quic_event, StreamDataReceived):
            self.heard.append(quic_event.data)
            self.is_busy = self.grows_busy

    async def end_all(self) -> None:
        await trio.lowlevel.checkpoint()
        self.has_ended = True

    def be_done(self) -> None:
        self.is_busy = False
        self.connection.wake()


@pytest.fixture
def configuration(tmp_path: Path) -> QuicConfiguration:
    return server_configuration(tmp_path / "both.pem", IDLE_SECONDS)


@asynccontextmanager
async def serving(
    configuration: QuicConfiguration, patience: Patience = PATIENCE
) -> AsyncIterator[tuple[QuicServer, Socket]]:
    sock = Socket()

    def speak(connection: Connection, client: Address) -> Listener:
        assert client == CLIENT
        return Listener(connection)

    async with trio.open_nursery() as nursery:
        fake = cast("trio.socket.SocketType", sock)
        server = QuicServer(fake, nursery, configuration, patience, speak)
        nursery.start_soon(server.receive)
        yield server, sock
        server.close()


@asynccontextmanager
async def connected(
    configuration: QuicConfiguration, patience: Patience = PATIENCE
) -> AsyncIterator[tuple[QuicServer, Client, Listener]]:
    with trio.fail_after(100):
        async with serving(configuration, patience) as (server, sock):
            client = Client(sock)
            await client.talk()
            yield server, client, listener_of(server)


def listener_of(server: QuicServer) -> Listener:
    (connection,) = set(server.connections.values())
    return cast("Listener", connection._speaker)


def first_datagram() -> bytes:
    """Return what a client begins with."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"])
    client = QuicConnection(configuration=configuration)
    client.connect(CLIENT, now=0)
    ((data, _),) = client.datagrams_to_send(now=0)
    return data


async def test_handshakes_under_way_are_bounded_and_let_go_of(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    async with serving(configuration) as (server, sock):
        for _ in range(HANDSHAKES + 50):
            sock.put_in.send_nowait(first_datagram())
        await wait_all_tasks_blocked()
        assert len(server.handshakes) == HANDSHAKES
        await trio.sleep(2 * IDLE_SECONDS)
        assert not server.handshakes
        assert not server.connections
        sock.put_in.send_nowait(first_datagram())
        await wait_all_tasks_blocked()
        assert len(server.handshakes) == 1


async def test_what_only_looks_like_a_handshake_takes_no_place(
    configuration: QuicConfiguration,
) -> None:
    async with serving(configuration) as (server, sock):
        sock.put_in.send_nowait(first_datagram()[:100].ljust(1200, b"x"))
        await wait_all_tasks_blocked()
        assert not server.handshakes
        assert not server.connections
        assert not sock.sent


async def test_only_what_could_begin_a_connection_is_told_of_other_versions(
    configuration: QuicConfiguration,
) -> None:
    """Smaller ones would let somebody reflect ours at others, or two servers talk for ever."""
    strange = b"\xc0????\x08destined\x06source"
    async with serving(configuration) as (_, sock):
        sock.put_in.send_nowait(strange.ljust(1199, b"\0"))
        sock.put_in.send_nowait(b"\xc0\0\0\0\0" + strange[5:].ljust(1200, b"\0"))
        await wait_all_tasks_blocked()
        assert not sock.sent
        sock.put_in.send_nowait(strange.ljust(1200, b"\0"))
        await wait_all_tasks_blocked()
        (answer,) = sock.sent
        assert answer[1:5] == bytes(4)


async def test_what_waits_behind_a_gap_is_delivered_when_it_is_filled(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    async with connected(configuration) as (_, client, listener):
        await client.say([(0, UNDELIVERED_BYTES - 1, b"z"), (0, 1, b"bc")])
        assert listener.heard == []
        await client.say([(0, 0, b"a")])
        assert listener.heard == [b"abc"]


async def test_a_client_that_hoards_bytes_behind_gaps_is_let_go_of(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    """Its windows would go on growing; on how many streams it does that makes no difference."""
    half = UNDELIVERED_BYTES // 2
    async with connected(configuration) as (server, client, listener):
        await client.say([(0, half - 1, b"x"), (4, half - 1, b"x")])
        assert server.connections
        await client.say([(8, 1, b"x")])
        assert not server.connections
        assert listener.has_ended
        client.hear()
        assert client.was_told_the_end


def gaps_on_one_stream(count: int) -> list[Frame]:
    return [(0, 1 + 2 * number, b"x") for number in range(count)]


def gaps_on_many_streams(count: int) -> list[Frame]:
    return [(4 * (number % 100), 1 + 2 * (number // 100), b"x") for number in range(count)]


@pytest.mark.parametrize("gaps", [gaps_on_one_stream, gaps_on_many_streams])
async def test_a_client_that_hoards_gaps_is_let_go_of(
    configuration: QuicConfiguration, autojump_clock: MockClock, gaps: Callable[[int], list[Frame]]
) -> None:
    *allowed, one_more = gaps(GAPS + 1)
    async with connected(configuration) as (server, client, listener):
        for frame in allowed:
            await client.say([frame])
        assert server.connections
        assert not listener.has_ended
        await client.say([one_more])
        assert not server.connections
        assert listener.has_ended


async def test_who_asks_for_nothing_is_let_go_of_and_its_handshake_counts(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    async with serving(configuration, SHORT) as (server, sock):
        client = Client(sock)
        for data, _ in client.quic.datagrams_to_send(now=trio.current_time()):
            sock.put_in.send_nowait(data)
        await trio.sleep(2)
        await client.talk()
        assert not server.handshakes
        listener = listener_of(server)
        await trio.sleep(0.9)
        await client.talk()  # which is no request
        assert server.connections
        await trio.sleep(0.2)
        assert not server.connections
        assert listener.has_ended
        client.hear()
        assert client.was_told_the_end


async def test_who_never_ends_its_handshake_is_let_go_of(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    async with serving(configuration, SHORT) as (server, sock):
        sock.put_in.send_nowait(first_datagram())
        await trio.sleep(2.9)
        assert server.handshakes
        await trio.sleep(0.2)
        assert not server.handshakes
        assert not server.connections


async def test_who_waits_for_an_answer_is_not_idle(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    """Later it is, and then its patience begins anew."""
    async with connected(configuration, SHORT) as (server, client, listener):
        listener.grows_busy = True
        await client.say([(0, 0, b"please")])
        for _ in range(60):
            await trio.sleep(1)
            await client.talk()
        assert server.connections
        listener.be_done()
        await trio.sleep(4.9)
        assert server.connections
        await trio.sleep(0.2)
        assert not server.connections


async def test_patience_begins_with_the_end_of_an_answer_whatever_came_before(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    """Here nothing has woken the connection while its client waited for longer than that."""
    async with connected(configuration, SHORT) as (server, client, listener):
        listener.grows_busy = True
        await client.say([(0, 0, b"please")])
        await client.talk()
        await trio.sleep(6)
        listener.be_done()
        await trio.sleep(4.9)
        assert server.connections
        await trio.sleep(0.2)
        assert not server.connections


async def test_a_request_that_comes_when_patience_ends_is_heard(
    configuration: QuicConfiguration, autojump_clock: MockClock
) -> None:
    async with connected(configuration, SHORT) as (server, client, listener):
        listener.grows_busy = True
        autojump_clock.jump(SHORT.before_the_first)
        listener.connection.take(client.datagram(0, 0, b"please"), CLIENT)
        await wait_all_tasks_blocked()
        assert listener.heard == [b"please"]
        assert not listener.has_ended
        assert server.connections
