"""QUIC connections over a socket that is none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
import trustme
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent
from trio.testing import wait_all_tasks_blocked

from jarvis_trio.web.quic_connections import HANDSHAKES, Address, Connection, Patience, QuicServer

IDLE_SECONDS = 20
PATIENCE = Patience(before_the_first=1000, between=1000)
CLIENT = ("192.0.2.1", 4433)


class Socket:
    """Gives what the test puts in; keeps what is sent."""

    def __init__(self) -> None:
        self.put_in, self._received = trio.open_memory_channel[bytes](1000)
        self.sent: list[bytes] = []

    async def recvfrom(self, _: int) -> tuple[bytes, Address]:
        return await self._received.receive(), CLIENT

    async def sendto(self, data: bytes, _: Address) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(data)


class Silent:
    """Says nothing."""

    is_busy = False

    async def handle(self, quic_event: QuicEvent) -> None:
        await trio.lowlevel.checkpoint()

    async def end_all(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.fixture
def configuration(tmp_path: Path) -> QuicConfiguration:
    issued = trustme.CA().issue_cert("localhost")
    path = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    made = QuicConfiguration(is_client=False, alpn_protocols=["h3"], idle_timeout=IDLE_SECONDS)
    made.load_cert_chain(path, path)
    return made


@asynccontextmanager
async def serving(
    configuration: QuicConfiguration, patience: Patience = PATIENCE
) -> AsyncIterator[tuple[QuicServer, Socket]]:
    sock = Socket()

    def speak(_: Connection, client: Address) -> Silent:
        assert client == CLIENT
        return Silent()

    async with trio.open_nursery() as nursery:
        fake = cast("trio.socket.SocketType", sock)
        server = QuicServer(fake, nursery, configuration, patience, speak)
        nursery.start_soon(server.receive)
        yield server, sock
        server.close()


def first_datagram() -> bytes:
    """Return what a client begins with."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"])
    client = QuicConnection(configuration=configuration)
    client.connect(CLIENT, now=0)
    ((data, _),) = client.datagrams_to_send(now=0)
    return data


async def test_handshakes_under_way_are_bounded_and_let_go_of(
    configuration: QuicConfiguration, autojump_clock: trio.testing.MockClock
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
