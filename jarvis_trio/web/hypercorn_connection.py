"""One client's connection, in the place of Hypercorn 0.18's ``TCPServer``.

One task reads and handles what comes, and an idle connection has no other. What else is different:

1. An error that one connection's bytes provoke in Hypercorn (an HTTP/2 path that is not ASCII, data
   for a stream that has ended) escapes into the nursery of all connections and ends the server,
   with status 0. Here it ends its own connection.
2. After the end of what a client sends, it waits for the connection's own idle timer: every client
   that closes a kept connection leaves a descriptor behind for ``keep_alive_timeout``. Here the
   timer is a deadline, of the read and of what is being sent.
3. Closing a connection while an answer's last bytes are being sent is told to that answer's task as
   an error of its own. Here it is what it is: the end of the connection.
4. A request is told its client's address, which is none on a unix socket, and has no way to end a
   connection whose client does not read. Here it is given the connection's socket, and what is
   written there is counted.
5. A write that the kernel takes at once, as nearly all are, need not go through a lock, a shield
   and trio's own checks: these cost more than the write. Here it needs none.
6. A request that has ended is told of the rest of its body, and that waits until somebody takes
   it, which nobody does. Here it is told nothing; and what there is room for costs no round of the
   loop.
7. A request that is cancelled while its send waits for another's takes what it would have sent with
   it: over HTTP/2, a head that all later ones build on. And one whose send has begun can only be
   cancelled with its whole connection. Here what was handed over is the connection's to send, by a
   task of its own, and waiting for that is like any other waiting.

A test over real sockets for each says when it is needed no longer.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any

import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.task_group import _handle as handle_request
from hypercorn.trio.worker_context import EventWrapper, WorkerContext
from hypercorn.typing import (
    AppWrapper,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendEvent,
    ConnectionState,
    LifespanState,
    Scope,
)
from hypercorn.utils import parse_socket_addr

from jarvis_trio.web.client_socket import CLIENT_SOCKET, ClientSocket

READ_BYTES = 4096
"""A read is handled in one step of the loop: 64 KB of the smallest frames would be 7,000 events."""

GONE = trio.BrokenResourceError, trio.ClosedResourceError

NEVER = float("inf")
AT_ONCE = -NEVER

Tell = Callable[[ASGIReceiveEvent], Awaitable[None]]
Answer = Callable[[ASGISendEvent | None], Awaitable[None]]
Address = tuple[str, int] | None

log = structlog.get_logger("jarvis_trio")


class Context(WorkerContext):
    """What the connections of a worker have in common, and they themselves."""

    def __init__(self, max_requests: int | None) -> None:
        super().__init__(max_requests)
        self.connections: set[Connection] = set()
        self.terminated = Terminated(self.connections)


class Terminated(EventWrapper):
    """That the worker takes no more requests: a connection that has none ends."""

    def __init__(self, connections: set["Connection"]) -> None:
        super().__init__()
        self._connections = connections

    async def set(self) -> None:
        """Say so."""
        await super().set()
        for connection in self._connections:
            connection.end_if_idle()


class Requests(TaskGroup):
    """The tasks of one connection's requests."""

    async def spawn_app(self, app: AppWrapper, config: Config, scope: Scope, send: Answer) -> Tell:
        """Begin a request; return what tells it of its body and of its client's departure."""
        news, received = trio.open_memory_channel[ASGIReceiveEvent](config.max_app_queue_size)

        async def listen(scope: Scope, receive: ASGIReceiveCallable, *others: Any) -> None:
            with received:
                await app(scope, receive, *others)

        async def tell(event: ASGIReceiveEvent) -> None:
            with suppress(trio.BrokenResourceError):  # it has ended
                try:
                    news.send_nowait(event)
                except trio.WouldBlock:
                    await news.send(event)

        threads = trio.to_thread.run_sync, trio.from_thread.run
        self.spawn(handle_request, listen, config, scope, received.receive, send, *threads)
        return tell


class Connection:
    """One connection, from its first byte to its last. Await it.

    *Resources:* the stream is closed by who accepted it, trio's ``serve_listeners``.
    """

    first_request_seconds = NEVER
    """How long a client may have asked for nothing, if it is less than one may be idle."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: Context,
        state: LifespanState,
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
    ) -> None:
        tcp = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        self._app = app
        self._config = config
        self._context = context
        self._stream = stream
        self._sock = tcp.socket
        self._client_socket = ClientSocket(tcp.socket, is_plain=tcp is stream)
        self._state = ConnectionState({**state, CLIENT_SOCKET: self._client_socket})
        self._protocol: ProtocolWrapper | None = None
        self._requests = Requests()
        self._unsent: deque[tuple[bytes, trio.Event]] = deque()
        self._ends_at = NEVER
        self._reading = self._sending = trio.CancelScope()

    def __await__(self) -> Generator[Any]:
        return self._run().__await__()

    async def _run(self) -> None:
        with suppress(OSError):  # it has gone already, and its address with it
            client = parse_socket_addr(self._sock.family, self._sock.getpeername())
            server = parse_socket_addr(self._sock.family, self._sock.getsockname())
            self._context.connections.add(self)
            try:
                await self._serve(client, server)
            except* Exception as group:
                # No traceback: whoever provokes this could fill the log with it.
                log.warning("connection_crashed", error=repr(_first(group)))
            finally:
                self._context.connections.remove(self)
                self._protocol = None  # else it and this would wait for the garbage collector

    async def _serve(self, client: Address, server: Address) -> None:
        alpn = "http/1.1"
        if isinstance(self._stream, trio.SSLStream):
            try:
                with trio.fail_after(self._config.ssl_handshake_timeout):
                    await self._stream.do_handshake()
            except (trio.BrokenResourceError, trio.TooSlowError):
                return
            alpn = self._stream.selected_alpn_protocol()
        async with self._requests:
            self._protocol = protocol = ProtocolWrapper(
                self._app,
                self._config,
                self._context,
                self._requests,
                self._state,
                isinstance(self._stream, trio.SSLStream),
                client,
                server,
                self._send,
                alpn,
            )
            try:
                await protocol.initiate()
                self._set_idle()
                while data := await self._read():
                    await protocol.handle(RawData(data))
                await self._close()
            finally:  # also where it is cancelled, which does not reach what is being sent
                self._shut_down()

    async def _read(self) -> bytes:
        """Return one read; empty at the end, of whatever kind."""
        try:
            with trio.CancelScope(deadline=self._ends_at) as self._reading:
                if self._config.read_timeout is None:
                    return bytes(await self._stream.receive_some(READ_BYTES))
                with trio.fail_after(self._config.read_timeout):
                    return bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        return b""

    async def _send(self, event: Event) -> None:
        """Do what the protocol asks for."""
        if isinstance(event, RawData):
            await self._send_bytes(event.data)
        elif isinstance(event, Closed):
            await self._close()
        elif isinstance(event, Updated):
            if event.idle:
                self._set_idle()
            else:
                self._end_at(NEVER)

    async def _send_bytes(self, data: bytes) -> None:
        """Wait until the kernel has taken it, or the connection has ended."""
        if not self._unsent:
            data = data[self._client_socket.send_nowait(data) :]
            if not data:
                self._client_socket.count_write()
                return
            self._requests.spawn(self._send_unsent)
        # Each task has one here, and requests that were taken back are few: see hypercorn_floods.
        taken = trio.Event()
        self._unsent.append((data, taken))
        await taken.wait()

    async def _send_unsent(self) -> None:
        """Send what waits, in order, until nothing does or the connection ends."""
        try:
            # A client that does not take it is :mod:`stall_watch`'s affair while it has requests,
            # and else is idle.
            with trio.CancelScope(deadline=self._ends_at) as self._sending, suppress(*GONE):
                while self._unsent:
                    data, taken = self._unsent[0]
                    await self._stream.send_all(data)
                    self._client_socket.count_write()
                    self._unsent.popleft()
                    taken.set()
                return
        finally:
            if self._unsent:
                self._shut_down()  # nothing follows half a send
                for _, taken in self._unsent:
                    taken.set()
                self._unsent.clear()
        await self._close()

    async def _close(self) -> None:
        self._shut_down()
        if self._protocol is not None:
            await self._protocol.handle(Closed())

    def _shut_down(self) -> None:
        """Tell the client now."""
        self._end_at(AT_ONCE)
        self._client_socket.shut_down()

    def end_if_idle(self) -> None:
        """End, unless there is a request under way."""
        if self._ends_at < NEVER:
            self._end_at(AT_ONCE)

    def _set_idle(self) -> None:
        if self._context.terminated.is_set():
            self._end_at(AT_ONCE)
            return
        seconds = self._config.keep_alive_timeout
        if self._protocol is not None and not self._protocol.protocol.keep_alive_requests:
            seconds = min(seconds, self.first_request_seconds)
        self._end_at(trio.current_time() + seconds)

    def _end_at(self, deadline: float) -> None:
        """Let what is being read, and sent, go on until then."""
        self._ends_at = self._reading.deadline = self._sending.deadline = deadline


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
