"""What Hypercorn 0.18's trio worker does to its HTTP/3 connections, mended by other ones.

One task read and handled the datagrams of all connections, each request's task wrote them, and
timers restarted one another. With it:

1. An error that one datagram provoked (data behind an answer's end, trailers, a path that is not
   ASCII), or that sending one met, ended the server.
2. A request whose client reset its stream, closed the connection or vanished was never told; a
   timer that fired cancelled its own successor, and no idle timeout was ever noticed.
3. No ``send`` ever waited: a whole answer was taken in for a client that gives no window.
4. A client's datagrams waited for the requests of all others to take theirs.
5. A shutdown waited out the whole ``graceful_timeout``, for a datagram that did not come.
6. A header's bytes, bytes behind a gap, resets, idle connections and handshakes that nobody
   finishes were unbounded; datagrams too small to begin a connection were answered.
7. One instruction let the bodies of 16 requests go on that had waited for their headers, all in
   one step. Here a header may not refer to what has not come.

:mod:`quic_connections` stands in for all of that; here is what Hypercorn's requests need of it. A
``send`` waits until little of its stream is unacknowledged, and the last one until nothing is: an
answer that is done has arrived, and the connection may be closed behind it. A client that takes
nothing is told of by ``trio.TooSlowError`` from ``send``, one that has gone by ``http.disconnect``.

A test over real sockets for each says when it is needed no longer.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial

import hypercorn.protocol.h3
import trio
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset
from hypercorn.protocol.events import Body, EndBody, EndData, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h3 import H3Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.udp_server import UDPServer
from hypercorn.typing import ConnectionState
from pylsqpack import Decoder

from jarvis_trio.web.quic_connections import Address, Connection, Patience, QuicServer
from jarvis_trio.web.reset_allowance import ResetAllowance

HEADER_BYTES = 64 * 1024
"""As over HTTP/2."""

UNACKNOWLEDGED_BYTES = 64 * 1024
"""What one answer may have under way before its ``send`` waits."""

PIECE_BYTES = 4096
"""Is handled in one step of the loop, as over TCP."""

TELL_SECONDS = 1.0
"""Telling a request something takes one step; its channel has room unless it has ended."""


def quic_configuration(certfile: str, keyfile: str, idle_seconds: float) -> QuicConfiguration:
    """Return what every connection has in common.

    A client of whom nothing is heard, or who takes nothing of an answer, for ``idle_seconds`` has
    gone. Errors: OSError, TypeError or ValueError for files that hold no certificate or not its
    key.
    """
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN, is_client=False, idle_timeout=idle_seconds
    )
    configuration.load_cert_chain(certfile, keyfile)
    return configuration


def mend_hypercorn_http3(
    configuration: QuicConfiguration, patience: Patience, ended: Callable[[], Awaitable[None]]
) -> None:
    """Replace the QUIC server of this process; it closes what is left when ``ended`` returns."""

    async def run(
        udp: UDPServer, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with udp.socket:
            async with TaskGroup() as requests, trio.open_nursery() as nursery:
                speak = partial(Requests, udp, requests)
                server = QuicServer(udp.socket, nursery, configuration, patience, speak)
                nursery.start_soon(server.receive)
                task_status.started()
                await ended()
                server.close()

    hypercorn.protocol.h3.H3Connection = UnblockedH3  # type: ignore[attr-defined]
    UDPServer.run = run  # type: ignore[method-assign, assignment]


class UnblockedH3(H3Connection):
    """HTTP/3 in which no header waits for another stream, and no body behind one that does."""

    def _init_connection(self) -> None:
        self._blocked_streams = 0
        self._decoder = Decoder(self._max_table_capacity, self._blocked_streams)
        super()._init_connection()


class Requests(H3Protocol):
    """The requests of one connection."""

    def __init__(
        self, udp: UDPServer, task_group: TaskGroup, connection: Connection, client: Address
    ) -> None:
        super().__init__(
            udp.app,
            udp.config,
            udp.context,
            task_group,
            ConnectionState(udp.state.copy()),
            client[:2],
            None,  # nobody has a socket between two addresses here
            connection.quic,
            self._flush,
        )
        self._connection = connection
        self._quic = connection.quic
        self._resets = ResetAllowance(trio.current_time())

    @property
    def is_busy(self) -> bool:
        """Say whether there is a request that has not been answered to its end."""
        return bool(self.streams)

    async def handle(self, quic_event: QuicEvent) -> None:
        """Tell the requests what has come for them."""
        for piece in _pieces(quic_event):
            for event in self.connection.handle_event(piece):
                await self._handle(event)
            if self._is_header_too_large(getattr(piece, "stream_id", -1)):
                self._quic.close(ErrorCode.H3_EXCESSIVE_LOAD)
                return
            await trio.lowlevel.checkpoint()
        if isinstance(quic_event, (StreamReset, StopSendingReceived)):
            await self._end(quic_event.stream_id)
            if self._resets.is_exceeded_by(1, trio.current_time()):
                self._quic.close(ErrorCode.H3_EXCESSIVE_LOAD)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send, and wait until the client has taken enough of it.

        Errors: trio.TooSlowError when it takes nothing.
        """
        if isinstance(event, StreamClosed):
            if self.streams.pop(event.stream_id, None) is not None:
                self._finish(event.stream_id, ErrorCode.H3_INTERNAL_ERROR)
        elif self._held(event.stream_id) is not None:
            await super().stream_send(event)
            if isinstance(event, (EndBody, EndData)):
                with suppress(trio.TooSlowError):  # nothing more waits for this client
                    await self._wait_for_room(event.stream_id, 0)
            else:
                await self._wait_for_room(event.stream_id, UNACKNOWLEDGED_BYTES)

    async def end_all(self) -> None:
        """Tell every request that its client has gone."""
        for stream_id in list(self.streams):
            await self._end(stream_id)

    def _is_header_too_large(self, stream_id: int) -> bool:
        stream = self.connection._stream.get(stream_id)  # noqa: SLF001 - it has no bound of its own
        return stream is not None and len(stream.buffer) > HEADER_BYTES

    async def _handle(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            if any(name == b":method" for name, _ in event.headers):  # else they are trailers
                await self._create_stream(event)
        elif isinstance(event, DataReceived):
            await self._tell(Body(stream_id=event.stream_id, data=event.data))
        else:
            return
        if event.stream_ended:
            await self._tell(EndBody(stream_id=event.stream_id))

    async def _tell(self, event: Body | EndBody) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:  # else it has been answered already
            with trio.move_on_after(TELL_SECONDS) as patience:
                await stream.handle(event)
            if patience.cancelled_caught:  # it has ended: it listens no more
                await self.stream_send(StreamClosed(stream_id=event.stream_id))

    async def _end(self, stream_id: int) -> None:
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._finish(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            with trio.move_on_after(TELL_SECONDS):
                await stream.handle(StreamClosed(stream_id=stream_id))

    def _finish(self, stream_id: int, code: ErrorCode) -> None:
        """Take back what has not arrived of an answer, and refuse what has not of its request."""
        stream = self._quic._streams.get(stream_id)  # noqa: SLF001 - aioquic does not tell
        if stream is not None and not stream.receiver.is_finished:
            self._quic.stop_stream(stream_id, ErrorCode.H3_NO_ERROR)
        self._quic.reset_stream(stream_id, code)
        self._connection.wake()

    async def _flush(self) -> None:
        self._connection.wake()
        await trio.lowlevel.checkpoint()

    async def _wait_for_room(self, stream_id: int, room: int) -> None:
        while (held := self._held(stream_id)) is not None and held > room:
            with trio.fail_after(self._quic.configuration.idle_timeout):
                while self._held(stream_id) == held:
                    await self._connection.progress.park()

    def _held(self, stream_id: int) -> int | None:
        """Return how much of an answer has not arrived, its end being one; None if unwanted."""
        stream = self._quic._streams.get(stream_id)  # noqa: SLF001 - aioquic does not tell
        if stream_id not in self.streams or stream is None:
            return None
        sender = stream.sender
        if sender._reset_error_code is not None:  # noqa: SLF001 - the same
            return None
        is_end_under_way = sender._buffer_fin is not None and not sender.is_finished  # noqa: SLF001
        return len(sender._buffer) + is_end_under_way  # noqa: SLF001


def _pieces(event: QuicEvent) -> Iterator[QuicEvent]:
    """Return what filled a gap in pieces: the smallest frames of a megabyte are 500,000."""
    if not isinstance(event, StreamDataReceived) or len(event.data) <= PIECE_BYTES:
        yield event
        return
    for start in range(0, len(event.data), PIECE_BYTES):
        end = start + PIECE_BYTES
        ends = event.end_stream and end >= len(event.data)
        yield StreamDataReceived(event.data[start:end], ends, event.stream_id)
