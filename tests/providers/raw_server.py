"""A server that puts exactly the bytes a test wants on a real socket, and sees the client go."""

import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio
import trio.testing

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class RawPeer:
    """One accepted connection, from the server's side."""

    def __init__(self, tcp: trio.SocketStream, tls: ssl.SSLContext | None) -> None:
        self.tcp = tcp
        self.stream: trio.abc.Stream = tcp
        if tls is not None:
            self.stream = trio.SSLStream(tcp, tls, server_side=True, https_compatible=True)

    async def read_head(self) -> bytes:
        """Read until there is a whole head; return it with what came behind it."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = await self.stream.receive_some()
            if not more:
                raise trio.BrokenResourceError("the client closed inside its head")
            data += more
        return data

    async def read_request(self) -> bytes:
        """Read a whole request: its head and as much body as that promises."""
        data = await self.read_head()
        found = LENGTH.search(data)
        whole = data.index(b"\r\n\r\n") + 4 + (int(found[1]) if found else 0)
        while len(data) < whole:
            more = await self.stream.receive_some()
            if not more:
                raise trio.BrokenResourceError("the client closed inside its body")
            data += more
        return data

    async def send(self, *pieces: bytes) -> None:
        """Send each piece, so that the client reads it before the next one is sent."""
        for piece in pieces:
            await self.stream.send_all(piece)
            if len(pieces) > 1:
                # Loopback delivers inside send(): who is blocked now has read it all.
                await trio.testing.wait_all_tasks_blocked()

    def reset(self) -> None:
        """Close with a RST."""
        self.tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.tcp.socket.close()

    async def see_close(self) -> None:
        """Read the raw connection until the client has closed or reset it."""
        try:
            while await self.tcp.receive_some():
                pass
        except trio.BrokenResourceError:
            pass


Handler = Callable[[RawPeer], Awaitable[None]]


class RawServer:
    """Where the server is, and how many connections it has had and has."""

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.accepted = 0
        self.handled = 0
        self._changed = trio.Event()

    def note_handled(self) -> None:
        """Take note that a handler has returned."""
        self.handled += 1
        self._changed.set()
        self._changed = trio.Event()

    async def wait_handled(self, count: int) -> None:
        """Wait until so many handlers have returned."""
        while self.handled < count:
            await self._changed.wait()


@asynccontextmanager
async def raw_server(
    handler: Handler, tls: ssl.SSLContext | None = None, *, port: int = 0
) -> AsyncIterator[RawServer]:
    """Run ``handler`` for each connection, and close that when it returns; port 0 is any.

    That a client leaves is no error of the server's. An error of the test comes out as it is.
    """
    (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=1024)
    server = RawServer(listener.socket.getsockname()[1], "http" if tls is None else "https")

    async def serve(tcp: trio.SocketStream) -> None:
        server.accepted += 1
        try:
            await handler(RawPeer(tcp, tls))
        except trio.BrokenResourceError:
            pass
        finally:
            tcp.socket.close()
            server.note_handled()

    fault: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [listener])
        try:
            yield server
        except Exception as error:
            fault = error
        nursery.cancel_scope.cancel(reason="the test is over")
    if fault is not None:
        raise fault


def answering(*pieces: bytes) -> Handler:
    """Read a request, send these bytes piece by piece, and close."""

    async def handler(peer: RawPeer) -> None:
        await peer.read_request()
        await peer.send(*pieces)

    return handler


def answering_and_staying(*pieces: bytes) -> Handler:
    """Read a request, send these bytes, and keep the connection until the client closes it."""

    async def handler(peer: RawPeer) -> None:
        await peer.read_request()
        await peer.send(*pieces)
        await peer.see_close()

    return handler


@contextmanager
def unaccepting_port(port: int = 0) -> Iterator[int]:
    """Give a port whose queue of connections is full: connecting to it takes for ever."""
    with socket.create_server(("127.0.0.1", port), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
            yield port
        finally:
            for sock in waiting:
                sock.close()


def open_files() -> int:
    """Count this process's descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


def sockets_to(port: int) -> int:
    """Count this process's sockets that are, or are being, connected to a local port."""
    count = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the names are numbers
        copy = -1
        try:
            copy = os.dup(int(name))
            with socket.socket(fileno=copy) as sock:
                copy = -1
                count += sock.family == socket.AF_INET and sock.getpeername()[1] == port
        except OSError:
            continue  # no socket, or one without a peer
        finally:
            if copy >= 0:
                os.close(copy)
    return count


class CancelAfterSteps(trio.abc.Instrument):
    """Cancels a scope when a task has run so many steps, so that each await has its turn."""

    def __init__(self, scope: trio.CancelScope, task: trio.lowlevel.Task, steps: int) -> None:
        self._scope = scope
        self._task = task
        self._left = steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count."""
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel(reason="its turn has come")


@contextmanager
def cancelled_after(steps: int) -> Iterator[trio.CancelScope]:
    """Cancel the block in its await number ``steps``, from 1."""
    with trio.CancelScope() as scope:
        instrument = CancelAfterSteps(scope, trio.lowlevel.current_task(), steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            yield scope
        finally:
            trio.lowlevel.remove_instrument(instrument)
