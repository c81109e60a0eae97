"""A body whose bytes gather in the kernel's buffer between two reads, over real sockets."""

import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from jarvis_trio.providers.gathering import GRID_SECONDS, MUCH_BYTES, Gatherer, Gathering
from jarvis_trio.providers.http import HttpClient
from jarvis_trio.providers.http_body import ResponseBody
from tests.providers.raw_server import Handler, RawPeer, raw_server

pytestmark = pytest.mark.usefixtures("nothing_left_open")

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG_SECONDS = 60
TEST_ENDS_WITHIN_SECONDS = 10


class Transports:
    """Ways to an upstream: plain, and over TLS."""

    def __init__(self, authority: trustme.CA | None) -> None:
        self.server: ssl.SSLContext | None = None
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if authority is not None:
            self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("127.0.0.1").configure_cert(self.server)
            authority.configure_trust(self.client)

    @asynccontextmanager
    async def body_of(self, handler: Handler) -> AsyncIterator[ResponseBody]:
        """Ask ``handler`` for an answer, and gather while it comes."""
        gathering = Gathering()
        with trio.fail_after(TEST_ENDS_WITHIN_SECONDS):
            async with raw_server(handler, self.server) as server, trio.open_nursery() as nursery:
                nursery.start_soon(gathering.run)  # noqa: ASYNC113 - the next line waits
                await wait_all_tasks_blocked()
                url = httpx.URL(server.url)
                client = HttpClient(url, {}, 1, ssl_context=self.client, gathering=gathering)
                body = await client.get("")
                try:
                    await wait_all_tasks_blocked()
                    yield body
                finally:
                    body.close()
                nursery.cancel_scope.cancel(reason="the test is over")


PLAIN = Transports(None)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["plain", "TLS"])
def transports(request: pytest.FixtureRequest, authority: trustme.CA) -> Transports:
    return PLAIN if request.param == "plain" else Transports(authority)


class Server:
    """Sends a head and what the test tells it to, and stays until the client goes."""

    def __init__(self, head: bytes = HEAD) -> None:
        self.head = head
        self.peer: RawPeer | None = None

    async def __call__(self, peer: RawPeer) -> None:
        await peer.read_request()
        self.peer = peer
        await peer.stream.send_all(self.head)
        await peer.see_close()

    async def send(self, *pieces: bytes) -> None:
        """Send; loopback delivers before this returns."""
        assert self.peer is not None
        for piece in pieces:
            await self.peer.stream.send_all(piece)


class TestGathering:
    """Between two reads."""

    async def test_what_comes_in_a_window_is_brought_by_one_receive(
        self, transports: Transports
    ) -> None:
        server = Server()
        async with transports.body_of(server) as body:
            await server.send(b"0")
            assert await body.receive() == b"0"
            for _ in range(2):
                async with trio.open_nursery() as nursery:
                    began = trio.current_time()
                    nursery.start_soon(send_slowly, server, b"123456789")
                    await body.gather(0.1)
                    assert trio.current_time() - began > 0.1 - GRID_SECONDS
                assert await body.receive() == b"123456789"

    async def test_what_comes_after_the_window_is_received_at_once(
        self, transports: Transports
    ) -> None:
        server = Server()
        received: list[bytes] = []

        async def receive() -> None:
            received.append(await body.receive())

        async with transports.body_of(server) as body:
            for byte in (b"a", b"b"):
                await body.gather(0.01)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive)
                    await wait_all_tasks_blocked()
                    await server.send(byte)
        assert received == [b"a", b"b"]

    async def test_much_that_comes_ends_the_window(self, transports: Transports) -> None:
        server = Server()
        async with transports.body_of(server) as body, trio.open_nursery() as nursery:
            nursery.start_soon(body.gather, LONG_SECONDS)
            await wait_all_tasks_blocked()
            await server.send(bytes(MUCH_BYTES))

    async def test_the_end_of_the_connection_ends_the_window(self, transports: Transports) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.stream.send_all(HEAD + b"the last")
            await gathers.wait()
            await peer.stream.send_all(b" words")

        gathers = trio.Event()
        async with transports.body_of(handler) as body:
            received = await body.receive()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(body.gather, LONG_SECONDS)
                await wait_all_tasks_blocked()
                gathers.set()
            while piece := await body.receive():
                received += piece
                await body.gather(LONG_SECONDS)
            assert received == b"the last words"
            await body.gather(LONG_SECONDS)

    async def test_there_is_no_window_behind_the_end_of_the_body(
        self, transports: Transports
    ) -> None:
        server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        async with transports.body_of(server) as body:
            await server.send(b"hi")
            assert await body.receive() == b"hi"
            await body.gather(LONG_SECONDS)

    async def test_there_is_no_window_before_a_fault_is_told(self, transports: Transports) -> None:
        server = Server(CHUNKED)
        async with transports.body_of(server) as body:
            await server.send(b"2\r\nhi\r\nno length\r\n")
            assert await body.receive() == b"hi"
            await body.gather(LONG_SECONDS)
            with pytest.raises(httpx.RemoteProtocolError, match="not HTTP"):
                await body.receive()

    async def test_nothing_is_kept_of_a_body_that_has_gathered_and_was_closed(self) -> None:
        server = Server()
        async with PLAIN.body_of(server) as body:
            await body.gather(0)
            ours = body._socket
            body.close()
            gatherers = [kept for kept in gc.get_objects() if isinstance(kept, Gatherer)]
            assert not [kept for kept in gatherers if kept._sock is ours]


async def send_slowly(server: Server, data: bytes) -> None:
    for byte in data:
        await trio.sleep(0.005)
        await server.send(bytes([byte]))


class TestReceivingNowait:
    """What is there, and no more."""

    @pytest.mark.parametrize("seconds", [None, 0, 0.01], ids=["no wait", "a tick", "a window"])
    async def test_what_the_kernel_holds_is_there(self, seconds: float | None) -> None:
        server = Server()
        async with PLAIN.body_of(server) as body:
            assert body.receive_nowait() == b""
            if seconds is not None:
                await body.gather(seconds)
            await server.send(b"one", b"two")
            assert body.receive_nowait() == b"onetwo"
            assert body.receive_nowait() == b""

    async def test_over_tls_nothing_can_be_had_at_once_and_nothing_is_lost(
        self, authority: trustme.CA
    ) -> None:
        server = Server()
        async with Transports(authority).body_of(server) as body:
            await server.send(b"one")
            assert body.receive_nowait() == b""
            assert await body.receive() == b"one"

    async def test_a_window_that_is_cancelled_has_taken_nothing(self) -> None:
        server = Server()
        async with PLAIN.body_of(server) as body:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(body.gather, LONG_SECONDS)
                    await wait_all_tasks_blocked()
                    await server.send(b"one", b"two")
                    scope.cancel(reason="stop")
            assert body.receive_nowait() == b"onetwo"

    async def test_behind_the_end_of_the_body_there_is_nothing(self) -> None:
        server = Server(CHUNKED)
        async with PLAIN.body_of(server) as body:
            await server.send(b"2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
            assert body.receive_nowait() == b"hi"
            await server.send(b"2\r\nho\r\n")
            assert body.receive_nowait() == b""
            await body.gather(LONG_SECONDS)
            assert await body.receive() == b""

    async def test_an_end_without_its_marker_is_for_receive_to_tell(self) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.stream.send_all(CHUNKED + b"2\r\nhi\r\n")

        async with PLAIN.body_of(handler) as body:
            assert await body.receive() == b"hi"
            await body.gather(LONG_SECONDS)
            assert body.receive_nowait() == b""
            with pytest.raises(httpx.RemoteProtocolError, match="cut off"):
                await body.receive()

    async def test_a_closed_body_reads_nobody_elses_descriptor(self) -> None:
        server = Server()
        async with PLAIN.body_of(server) as body:
            await server.send(b"unread")
            number = body._socket.fileno()
            body.close()
            ours, theirs = socket.socketpair()
            with ours, theirs:
                os.dup2(ours.fileno(), number)
                try:
                    theirs.sendall(b"for somebody else")
                    assert body.receive_nowait() == b""
                    assert ours.recv(100) == b"for somebody else"
                finally:
                    if number not in (ours.fileno(), theirs.fileno()):
                        os.close(number)
