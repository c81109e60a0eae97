"""What ends a connection, and what it leaves, under the mended Hypercorn and on real sockets."""

import contextlib
import gc
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from jarvis_trio.web.hypercorn_connection import READ_BYTES, Connection
from jarvis_trio.web.hypercorn_floods import bound_hypercorn
from jarvis_trio.web.hypercorn_h11 import AHEAD_BYTES, PatientConnection
from jarvis_trio.web.hypercorn_mends import mend_hypercorn
from tests.end_to_end.faults.flood_clients import HELLO, frame
from tests.end_to_end.faults.raw_clients import WINDOW, H2Client, reset
from tests.interpreter import LEAVES_CYCLES, WHY

PATIENCE_SECONDS = 0.5
TEST_ENDS_WITHIN_SECONDS = 30
SETTLED_SECONDS = 0.1
LARGE_BYTES = 4 * 1024 * 1024
CHUNKED = b"POST /deaf HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = frame(6, 0, 0, bytes(8))


def get(path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


class Application:
    """Answers with its path: ``/slow`` when told to, ``/endless`` for a while, ``/deaf`` never.

    ``/large`` has a large answer, ``/stubborn`` too, and goes on when it is cancelled; ``/stream``
    goes on until it is told of a departure, and ``/hasty`` has a head and no more.
    """

    def __init__(self) -> None:
        self.go_on = trio.Event()
        self.end = trio.Event()
        self.departed = trio.Event()
        self.gave_up = trio.Event()

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            path = scope["path"]
            if path == "/deaf":
                await self.go_on.wait()
                return
            while (await receive()).get("more_body", False):
                pass
            if path in {"/hasty", "/stream"}:
                await self.answer_unless_departed(receive, send, path)
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if path.startswith("/slow"):
                await self.until_departure_or_told(receive)
            with trio.move_on_after(PATIENCE_SECONDS):
                while path == "/endless":
                    await send_body(send, bytes(65_536))
            if path == "/endless":
                self.gave_up.set()  # and its answer has no end
                return
            await send_answer(send, path)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if path.endswith("/lingering"):
                await self.end.wait()

    async def until_departure_or_told(self, receive: ASGIReceiveCallable) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.listen, receive, nursery.cancel_scope)
            await self.go_on.wait()
            nursery.cancel_scope.cancel(reason="told to go on")

    async def answer_unless_departed(
        self, receive: ASGIReceiveCallable, send: ASGISendCallable, path: str
    ) -> None:
        headers = [(b"x-hasty", b"yes")]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.listen, receive, nursery.cancel_scope)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while path == "/stream":
                await send_body(send, bytes(65_536))
                await trio.lowlevel.checkpoint()  # no send waits any more after the end

    async def listen(self, receive: ASGIReceiveCallable, scope: trio.CancelScope) -> None:
        assert (await receive())["type"] == "http.disconnect"
        self.departed.set()
        scope.cancel(reason="the client has gone")


async def send_answer(send: ASGISendCallable, path: str) -> None:
    if path == "/large":
        await send_body(send, bytes(LARGE_BYTES))
    elif path == "/stubborn":
        try:
            await send_body(send, bytes(LARGE_BYTES))
        finally:
            await send_body(send, path.encode())  # noqa: ASYNC102 - that is what it is for
    else:
        await send_body(send, path.encode())


async def send_body(send: ASGISendCallable, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


class Serving:
    """Serves ``application`` until told otherwise."""

    def __init__(
        self, application: Application, port: int, over: trio.Event, scope: trio.CancelScope
    ) -> None:
        self.application = application
        self.port = port
        self.over = over
        self.scope = scope
        self._others = connections()

    async def wait_until_all_have_ended(self) -> None:
        """Wait, and wait on if some are left to the garbage collector."""
        while connections() > self._others:  # noqa: ASYNC110 - nobody tells
            if LEAVES_CYCLES:
                gc.collect()
            await trio.sleep(0.01)

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(TEST_ENDS_WITHIN_SECONDS)
        return sock


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Serving]:
    """Serve, without any timeout that is not among ``settings``; ends when all connections do."""
    mend_hypercorn()
    bound_hypercorn(1e6)
    config = Config()
    config.loglevel = "CRITICAL"
    config.bind = ["127.0.0.1:0"]
    config.keep_alive_timeout = config.graceful_timeout = 1e6
    for name, value in settings.items():
        setattr(config, name, value)
    application, over = Application(), trio.Event()
    with trio.fail_after(TEST_ENDS_WITHIN_SECONDS):
        async with trio.open_nursery() as nursery:
            run = partial(serve, application, config, shutdown_trigger=over.wait)
            (bind,) = await nursery.start(run)
            port = int(bind.rpartition(":")[2])
            yield Serving(application, port, over, nursery.cancel_scope)
            over.set()


async def read_until(sock: socket.socket, end: bytes) -> bytes:
    """Return what comes up to ``end``, or all there is when that is empty."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while not end or end not in data:
            piece = await trio.to_thread.run_sync(sock.recv, 65_536)
            if not piece:
                break
            data += piece
    return data


async def test_connections_without_a_request_end_at_a_shutdown_and_the_others_with_theirs() -> None:
    async with serving() as server:
        with server.connect() as silent, server.connect() as kept, server.connect() as busy:
            kept.sendall(get("/kept"))
            assert b"/kept" in await read_until(kept, b"0\r\n\r\n")
            busy.sendall(get("/slow"))
            await read_until(busy, b"\r\n\r\n")
            server.over.set()
            assert await read_until(silent, b"") == b""
            assert await read_until(kept, b"") == b""
            server.application.go_on.set()
            assert b"/slow" in await read_until(busy, b"")


async def test_an_http2_connection_ends_with_its_last_answer_at_a_shutdown() -> None:
    async with serving() as server:
        with server.connect() as sock:
            client = H2Client(sock, stream_window=WINDOW)
            stream = client.open(headers("/slow"))
            client.send(stream, b"", end_stream=True)
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            server.over.set()
            server.application.go_on.set()
            await server.wait_until_all_have_ended()


async def test_a_client_is_told_of_the_end_at_once_also_when_its_request_lingers() -> None:
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(get("/lingering").replace(b"Host", b"Connection: close\r\nHost"))
            assert b"/lingering" in await read_until(sock, b"")
        server.application.end.set()


async def test_a_connection_is_one_task_and_a_request_six_of_its_steps() -> None:
    """Each is a round of the loop, before the first byte of an answer or after its last."""
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    async with serving() as server:
        await wait_all_tasks_blocked(SETTLED_SECONDS)
        before = trio.lowlevel.current_statistics().tasks_living
        with contextlib.ExitStack() as socks:
            for _ in range(10):
                sock = socks.enter_context(server.connect())
                sock.sendall(get())
                await read_until(sock, b"0\r\n\r\n")
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            assert trio.lowlevel.current_statistics().tasks_living == before + 10
        await server.wait_until_all_have_ended()
    assert max(steps.of_connections.values()) <= 6


class Steps(trio.abc.Instrument):
    """Counts the steps of each connection's task."""

    def __init__(self) -> None:
        self.of_connections: Counter[trio.lowlevel.Task] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name.endswith("._run_handler"):
            self.of_connections[task] += 1


async def test_a_client_that_only_asks_for_signs_of_life_and_reads_none_is_idle() -> None:
    """What is sent to it waits in the kernel, and the connection with that."""
    async with serving(keep_alive_timeout=PATIENCE_SECONDS) as server:
        with small(server) as sock:
            sock.sendall(HELLO)
            with pytest.raises(ConnectionError):
                while True:
                    await trio.to_thread.run_sync(sock.sendall, PING * 1000)


async def test_an_answer_that_was_given_up_does_not_keep_its_connection() -> None:
    """Its last bytes wait in the kernel for a client that does not read."""
    async with serving(keep_alive_timeout=PATIENCE_SECONDS) as server:
        with small(server) as sock:
            client = H2Client(sock, stream_window=WINDOW)
            client.send(client.open(headers("/endless")), b"", end_stream=True)
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            sock.sendall(PING)  # its answer waits behind those bytes, and nothing is read meanwhile
            await server.application.gave_up.wait()
            await server.wait_until_all_have_ended()


async def test_a_connection_that_crashes_ends_also_when_its_client_does_not_read() -> None:
    """What is sent to it waits in the kernel, in reach of no cancellation."""
    with capture_logs() as logs:
        async with serving() as server:
            with small(server) as sock:
                client = H2Client(sock, stream_window=WINDOW)
                client.send(client.open(headers("/large")), b"", end_stream=True)
                await wait_all_tasks_blocked(SETTLED_SECONDS)
                client.open(headers("/\N{SNOWMAN}"))
                while not logs:  # noqa: ASYNC110 - nobody tells
                    await trio.sleep(0.01)
    assert [line["event"] for line in logs] == ["connection_crashed"]  # told when it has ended


async def test_a_request_can_be_cancelled_while_its_client_holds_up_what_it_sends() -> None:
    async with serving() as server:
        with small(server) as sock:
            sock.sendall(get("/endless"))
            await server.application.gave_up.wait()
            await server.wait_until_all_have_ended()


@pytest.mark.parametrize("behind", [b"", get("/many") * 20_000])
async def test_a_departure_is_told_to_a_request_whose_client_holds_up_what_it_sends(
    behind: bytes,
) -> None:
    """Also where there is so much behind it that nothing is read; and it is no crash."""
    with capture_logs() as logs:
        async with serving() as server:
            with small(server) as sock:
                sock.sendall(get("/stream"))
                sock.setblocking(False)
                sock.send(behind)
                await wait_all_tasks_blocked(SETTLED_SECONDS)
                reset(sock)
            await server.application.departed.wait()
            await server.wait_until_all_have_ended()
    assert logs == []


async def test_nothing_follows_half_an_answer_when_the_server_is_cancelled() -> None:
    """Whichever of a connection's tasks hears of that first; so there are some."""
    with contextlib.ExitStack() as socks:
        async with serving() as server:
            clients = [socks.enter_context(small(server)) for _ in range(20)]
            for client in clients:
                client.sendall(get("/stubborn"))
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            received = [read_at_once(client) for client in clients]  # now the kernel has room
            server.scope.cancel(reason="the test cancels the server")
            await trio.sleep_forever()
        for client, data in zip(clients, received, strict=True):
            assert b"/stubborn" not in data + await read_until(client, b"")


def read_at_once(sock: socket.socket) -> bytes:
    """Return what is there."""
    data = b""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while piece := sock.recv(65_536):
            data += piece
    sock.settimeout(TEST_ENDS_WITHIN_SECONDS)
    return data


async def test_a_request_that_is_taken_back_harms_no_other_on_its_connection() -> None:
    """Its head waits behind an answer that the kernel does not take; later heads build on it."""
    async with serving() as server:
        with small(server) as sock:
            client = H2Client(sock, stream_window=WINDOW)
            large, hasty = client.open(headers("/large")), client.open(headers("/hasty"))
            client.send(large, b"", end_stream=True)
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            client.send(hasty, b"", end_stream=True)
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            client.take_back(hasty)
            await server.application.departed.wait()
            later = client.open(headers("/later"))
            client.send(later, b"", end_stream=True)
            while client.ended != {large, later}:
                await trio.to_thread.run_sync(client.read_once)
            assert client.data[large] == bytes(LARGE_BYTES)
            assert client.data[later] == b"/later"
        await server.wait_until_all_have_ended()


def small(server: Serving) -> socket.socket:
    """Connect as a client that has little room for what it does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(TEST_ENDS_WITHIN_SECONDS)
    sock.connect(("127.0.0.1", server.port))
    return sock


def headers(path: str) -> list[tuple[str, str]]:
    return [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "x")]


def connections() -> int:
    """Count those that have not ended, or that wait for the garbage collector."""
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


@pytest.fixture
def no_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.skipif(LEAVES_CYCLES, reason=WHY)
@pytest.mark.usefixtures("no_garbage_collector")
@pytest.mark.parametrize("request_bytes", [b"", get(), get() + get("/slow")])
async def test_a_connection_that_has_ended_leaves_nothing_for_the_garbage_collector(
    request_bytes: bytes,
) -> None:
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(request_bytes)
            await wait_all_tasks_blocked(SETTLED_SECONDS)
        await server.wait_until_all_have_ended()


async def test_a_body_that_nobody_listens_to_any_more_holds_nothing_up() -> None:
    """There is room for ten parts of it in the channel of its request, which has ended."""
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(CHUNKED + b"1\r\nx\r\n" * 500)
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            server.application.go_on.set()
            assert (await read_until(sock, b"")).startswith(b"HTTP/1.1 500")


async def test_what_is_sent_behind_a_request_is_handled_in_order_when_it_is_answered() -> None:
    """Also a body of which more comes than may wait, and only when there is room."""
    body = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (3 * AHEAD_BYTES)
    behind = get("/second") + body + bytes(3 * AHEAD_BYTES) + get("/last")
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(get("/slow"))
            await read_until(sock, b"\r\n\r\n")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(trio.to_thread.run_sync, sock.sendall, behind))
                await wait_all_tasks_blocked(SETTLED_SECONDS)
                server.application.go_on.set()
                answers = await read_until(sock, b"/last")
    found = [answers.find(path) for path in (b"/slow", b"/second", b"/body", b"/last")]
    assert -1 not in found
    assert found == sorted(found)


LAST = get("/slow").replace(b"Host", b"Connection: close\r\nHost")


@pytest.mark.parametrize("behind", [b"\r\n", get("/second"), bytes(READ_BYTES)])
async def test_what_is_sent_behind_the_last_request_is_passed_over(behind: bytes) -> None:
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(LAST + behind)
            await read_until(sock, b"\r\n\r\n")
            sock.sendall(behind)
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            server.application.go_on.set()
            assert await read_until(sock, b"") == b"5\r\n/slow\r\n0\r\n\r\n"


@pytest.mark.parametrize("request_bytes", [get("/slow"), LAST])
async def test_of_what_is_sent_behind_a_request_only_so_much_is_read(request_bytes: bytes) -> None:
    large = get("/behind").replace(b"Host", b"X: %s\r\nHost" % (b"x" * 8192))
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(request_bytes)
            await read_until(sock, b"\r\n\r\n")
            async with trio.open_nursery() as nursery:
                send = partial(trio.to_thread.run_sync, abandon_on_cancel=True)
                nursery.start_soon(send, send_on_and_on, sock, large)
                while waiting_bytes() <= AHEAD_BYTES:  # noqa: ASYNC110 - nobody tells
                    await trio.sleep(0.01)
                await wait_all_tasks_blocked(SETTLED_SECONDS)
                assert waiting_bytes() <= AHEAD_BYTES + READ_BYTES
                nursery.cancel_scope.cancel(reason="it has read enough")
        server.application.go_on.set()


async def test_of_what_is_sent_behind_the_end_of_a_connection_nothing_is_read() -> None:
    """What the kernel has already is not taken from it."""
    broken = CHUNKED.replace(b"/deaf", b"/slow/lingering") + b"no chunk\r\n"
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(broken + bytes(20 * READ_BYTES))
            await wait_all_tasks_blocked(SETTLED_SECONDS)
            assert waiting_bytes() <= READ_BYTES
        server.application.go_on.set()
        server.application.end.set()


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nHost"


async def test_what_has_waited_behind_a_request_cannot_change_the_protocol() -> None:
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(get("/first") + get("/second").replace(b"Host", UPGRADE))
            answers = await read_until(sock, b"/second\r\n0\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200") == 2


def send_on_and_on(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # at the end of the test
        while True:
            sock.sendall(data)


def waiting_bytes() -> int:
    """Return the most that any connection keeps of what it has not handled."""
    mine = [thing for thing in gc.get_objects() if isinstance(thing, PatientConnection)]
    return max(len(connection.trailing_data[0]) for connection in mine)


@pytest.mark.parametrize("behind", [b"", b"\r\n", get("/second"), get("/many") * 1000])
@pytest.mark.parametrize("leave", [socket.socket.close, reset])
async def test_a_departure_is_told_whatever_is_sent_behind_a_request(
    behind: bytes, leave: Any
) -> None:
    async with serving() as server:
        with server.connect() as sock:
            sock.sendall(get("/slow") + behind)
            await read_until(sock, b"\r\n\r\n")
            leave(sock)
            await server.application.departed.wait()
            await server.wait_until_all_have_ended()
