"""Bodies that the kernel does not take at once, under the mended Hypercorn: whole, in order, once.

Over plain TCP, what it takes of a send goes out there and then, and only the rest is waited for.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from trio.testing import wait_all_tasks_blocked

from jarvis_trio.web.hypercorn_mends import mend_hypercorn
from tests.end_to_end.faults.raw_clients import WINDOW, H2Client

SMALL_BUFFER_BYTES = 4096
TEST_ENDS_WITHIN_SECONDS = 30

Send = Callable[[bytes], Awaitable[None]]


def numbered(size: int, mark: int = 0) -> bytes:
    """Return bytes of which each eight say where they are, and in which body."""
    return b"".join((mark << 56 | at).to_bytes(8, "big") for at in range(0, size, 8))


@asynccontextmanager
async def serving(answer: Callable[[str, Send], Awaitable[None]]) -> AsyncIterator[int]:
    """Have ``answer`` say what the body at a path is; give the port."""

    async def application(
        scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":

            async def send_body(data: bytes) -> None:
                await send({"type": "http.response.body", "body": data, "more_body": True})

            await send({"type": "http.response.start", "status": 200, "headers": []})
            await answer(scope["path"], send_body)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    mend_hypercorn()
    config = Config()
    config.loglevel = "CRITICAL"
    config.bind = ["127.0.0.1:0"]
    over = trio.Event()
    with trio.fail_after(TEST_ENDS_WITHIN_SECONDS):
        async with trio.open_nursery() as nursery:
            run = partial(serve, application, config, shutdown_trigger=over.wait)
            (bind,) = await nursery.start(run)
            try:
                yield int(bind.rpartition(":")[2])
            finally:
                over.set()


def client_of(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    sock.settimeout(TEST_ENDS_WITHIN_SECONDS)
    sock.connect(("127.0.0.1", port))
    return sock


async def get_late(port: int) -> bytes:
    """Ask over HTTP/1.0, whose bodies are as they are; read when nothing moves any more."""
    with client_of(port) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        await wait_all_tasks_blocked(0.1)
        answer = await trio.to_thread.run_sync(read_to_the_end, sock)
    return answer.partition(b"\r\n\r\n")[2]


def read_to_the_end(sock: socket.socket) -> bytes:
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


async def test_a_body_that_is_sent_at_once_to_a_client_that_reads_late_arrives_whole() -> None:
    body = numbered(8 * 1024 * 1024)
    async with serving(lambda _, send: send(body)) as port:
        is_whole = await get_late(port) == body
    assert is_whole


@pytest.mark.parametrize("seconds", [0, 0.05], ids=["before-it-begins", "while-it-waits"])
async def test_of_a_send_that_is_cancelled_nothing_or_everything_is_sent(seconds: float) -> None:
    """Else what is sent behind it would be read as its rest."""
    bodies = [numbered(8 * 1024 * 1024, mark) for mark in range(2)]

    async def answer(_: str, send: Send) -> None:
        with trio.move_on_after(seconds):
            await send(bodies[0])
        await send(bodies[1])

    async with serving(answer) as port:
        received = await get_late(port)
    is_whole = received in (bodies[1], bodies[0] + bodies[1])
    assert is_whole


async def test_bodies_that_share_an_http2_connection_arrive_whole() -> None:
    """Whoever sends while another's send waits in the kernel does not send into its middle."""
    bodies = [numbered(1024 * 1024, mark) for mark in range(5)]

    async def answer(path: str, send: Send) -> None:
        body = bodies[int(path[1:])]
        for start in range(0, len(body), 65_536):
            await send(body[start : start + 65_536])

    async with serving(answer) as port:
        with client_of(port) as sock:
            client = H2Client(sock, stream_window=WINDOW)
            streams = [
                client.open(
                    [
                        (":method", "GET"),
                        (":path", f"/{number}"),
                        (":scheme", "http"),
                        (":authority", "localhost"),
                    ]
                )
                for number in range(len(bodies))
            ]
            for stream in streams:
                client.send(stream, b"", end_stream=True)
            await wait_all_tasks_blocked(0.1)
            while client.ended != set(streams):
                await trio.to_thread.run_sync(client.read_once)
                client.ping()
            assert not client.reset
    are_whole = [client.data[stream] == bodies[number] for number, stream in enumerate(streams)]
    assert all(are_whole)
