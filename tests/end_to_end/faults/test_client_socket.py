"""What a request knows of its connection, under the mended Hypercorn and on sockets of its own."""

import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trustme
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

from jarvis_trio.web.client_socket import CLIENT_SOCKET, UNKNOWN, ClientSocket
from jarvis_trio.web.hypercorn_mends import mend_hypercorn
from tests.end_to_end.processes import wait_until

AUTHORITY = trustme.CA()


class Application:
    """Answers which socket a request has, and its count of writes before and after one."""

    def __init__(self) -> None:
        self.lifespan_state: dict[str, Any] = {}

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if scope["type"] == "lifespan":
            self.lifespan_state = scope["state"]
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            client_socket: ClientSocket = scope["state"][CLIENT_SOCKET]
            if scope["path"] == "/end":
                client_socket.shut_down()
            writes = [client_socket.progress().writes]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            # Over HTTP/2 it is another task that writes.
            while client_socket.progress().writes == writes[0]:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.01)
            writes.append(client_socket.progress().writes)
            answer = json.dumps({"socket": id(client_socket), "writes": writes}).encode()
            await send({"type": "http.response.body", "body": answer, "more_body": False})


@asynccontextmanager
async def serving(application: Application, tmp_path: Path, kind: str) -> AsyncIterator[str]:
    """Serve it by ``kind`` of connection; return the address."""
    mend_hypercorn()
    config = Config()
    config.loglevel = "CRITICAL"
    config.graceful_timeout = 0.1  # who asked for "/end" waits for a write that never comes
    config.bind = [f"unix:{tmp_path / 'socket'}" if kind == "unix" else "127.0.0.1:0"]
    if kind in ("tls", "http/2"):
        both = tmp_path / "both.pem"
        AUTHORITY.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(both)
        config.certfile = config.keyfile = str(both)
    over = trio.Event()
    async with trio.open_nursery() as nursery:
        run = partial(serve, application, config, shutdown_trigger=over.wait)
        with trio.fail_after(10):
            binds = await nursery.start(run)
        yield "http://localhost" if kind == "unix" else binds[0]
        over.set()


def client_of(url: str, tmp_path: Path, kind: str) -> httpx.AsyncClient:
    """Return a client with one connection."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    transport = httpx.AsyncHTTPTransport(
        verify=context,
        http2=kind == "http/2",
        uds=str(tmp_path / "socket") if kind == "unix" else None,
        limits=httpx.Limits(max_connections=1),
    )
    return httpx.AsyncClient(base_url=url, transport=transport, timeout=10)


@pytest.mark.parametrize("kind", ["tcp", "tls", "http/2", "unix"])
async def test_a_request_has_the_socket_of_its_own_connection_and_no_other(
    tmp_path: Path, kind: str
) -> None:
    application = Application()
    async with serving(application, tmp_path, kind) as url:
        async with client_of(url, tmp_path, kind) as one, client_of(url, tmp_path, kind) as other:
            answers = [(await client.get("/")).json() for client in (one, one, other)]
            first, second, others = (answer["socket"] for answer in answers)
            assert first == second != others
            with pytest.raises(httpx.TransportError):
                await other.get("/end")
            assert (await one.get("/")).json()["socket"] == first
        # What is not a connection of Hypercorn's TCPServer, such as QUIC, is given none.
        assert CLIENT_SOCKET not in application.lifespan_state


@pytest.mark.parametrize("kind", ["tcp", "tls", "http/2", "unix"])
async def test_writes_are_counted(tmp_path: Path, kind: str) -> None:
    async with (
        serving(Application(), tmp_path, kind) as url,
        client_of(url, tmp_path, kind) as client,
    ):
        before, after = (await client.get("/")).json()["writes"]
        assert before < after


def pair_of(family: socket.AddressFamily) -> tuple[socket.socket, socket.socket]:
    if family == socket.AF_UNIX:
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_what_a_client_does_not_take_waits_until_it_does(family: socket.AddressFamily) -> None:
    ours, client = pair_of(family)
    with client, trio.socket.from_stdlib_socket(ours) as sock:
        client_socket = ClientSocket(sock, is_plain=True)
        assert client_socket.progress().waiting == 0
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += ours.send(b"x" * 16_384)
        assert client_socket.progress().waiting > 0
        while sent:
            sent -= len(client.recv(65_536))
        wait_until(lambda: client_socket.progress().waiting == 0)


async def test_a_socket_that_was_closed_tells_nothing_and_can_be_shut_down() -> None:
    ours, client = socket.socketpair()
    with client:
        sock = trio.socket.from_stdlib_socket(ours)
        sock.close()
        client_socket = ClientSocket(sock, is_plain=True)
        assert client_socket.progress().waiting == UNKNOWN
        client_socket.shut_down()


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_what_is_sent_at_once_is_what_the_kernel_takes(family: socket.AddressFamily) -> None:
    ours, client = pair_of(family)
    ours.setblocking(False)
    data = bytes(range(256)) * 65_536
    with client, trio.socket.from_stdlib_socket(ours) as sock:
        client_socket = ClientSocket(sock, is_plain=True)
        first = taken = client_socket.send_nowait(data)
        assert 0 < first < len(data)
        # The kernel moves on meanwhile, as far as the client's buffer goes.
        while more := client_socket.send_nowait(data[taken:]):
            taken += more
        received = bytearray()
        while len(received) < taken:
            received += client.recv(65_536)
        assert received == data[:taken]


def test_nothing_is_sent_at_once_where_it_would_not_be_as_it_is_or_there_is_a_fault() -> None:
    ours, client = socket.socketpair()
    with client, trio.socket.from_stdlib_socket(ours) as sock:
        assert ClientSocket(sock, is_plain=False).send_nowait(b"under TLS") == 0
        client.close()
        assert ClientSocket(sock, is_plain=True).send_nowait(b"to nobody") == 0
    assert ClientSocket(sock, is_plain=True).send_nowait(b"after our own end") == 0
