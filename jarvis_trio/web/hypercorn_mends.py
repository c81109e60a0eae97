"""What Hypercorn 0.18's trio worker does to its connections, mended where it has no public place.

1. An error that one connection's bytes provoke in Hypercorn (an HTTP/2 path that is not ASCII, data
   for a stream that has ended) escapes into the nursery of all connections and ends the server,
   with status 0. Here it ends its own connection.
2. While an answer is made, a second request or a stray line end behind the first makes Hypercorn
   stop reading: it would not notice that the client has gone. Here reading goes on, a few reads
   ahead of what is handled.
3. After the end of what a client sends, it waits for the connection's own idle timer: every client
   that closes a kept connection leaves a descriptor behind for ``keep_alive_timeout``.
4. Over HTTP/2 it takes in a whole answer for a stream whose client gives it no window: each attempt
   to send nothing counts as room. Such a client costs memory, and nothing is ever held back. Here
   a send lasts until what it brought is on its way, so that the last one waits for no other's, and
   how long one takes tells how slow the client is.
5. Closing a connection while an answer's last bytes are being sent is told to that answer's task as
   an error of its own. Here it is what it is: the end of the connection.
6. Over HTTP/2, the end of a connection may find its own clean-up cancelled half-way: a request
   whose stream was already forgotten is never told, and one that waits for its buffer to drain
   waits for ever. Here telling one is never cut short, and a closed connection's buffers let go.
7. What comes behind a WebSocket handshake that is not accepted yet is answered twice, and a
   connection whose handshake is refused is left open. Here the one is passed over, and the other
   closed.
8. A request is told its client's address, which is none on a unix socket, and has no way to end a
   connection whose client does not read. Here it is given the connection's socket, and what is
   written there is counted.
9. Over HTTP/2, an answer that is given up in the middle leaves its client waiting for the rest.
   Here its stream is reset.
10. Over HTTP/2, an answer counts as sent when its last byte is, and at a shutdown the connection
   may close before the end of its stream is told. Here the last send lasts until that is sent.
11. A write that the kernel takes at once, as nearly all are, need not go through a lock, a shield
   and trio's own checks: these cost more than the write. Here they are for the others.

A test over real sockets for each says when it is needed no longer.
"""

from contextlib import suppress

import structlog
import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import TrioSingleTask
from hypercorn.typing import LifespanState

from jarvis_trio.web.client_socket import CLIENT_SOCKET, ClientSocket

READ_BYTES = 4096
"""A read is handled in one step of the loop: 64 KB of the smallest frames would be 7,000 events."""

READS_AHEAD = 64
"""Reads that may wait while Hypercorn handles what came before them."""

TELL_SECONDS = 1.0
"""Telling a request that its client has gone takes one step; its channel has room."""

log = structlog.get_logger("jarvis_trio")

_run = TCPServer.run
_protocol_send = TCPServer.protocol_send
_close_stream = H2Protocol._close_stream  # noqa: SLF001 - see above
_handle_h2 = H2Protocol.handle
_handle_websocket = WSStream.handle
_push = StreamBuffer.push
_stream_send = H2Protocol.stream_send
_send_data = H2Protocol._send_data  # noqa: SLF001 - see above


async def _run_by_itself(self: TCPServer) -> None:
    tcp = getattr(self.stream, "transport_stream", self.stream)
    client_socket = ClientSocket(tcp.socket, is_plain=tcp is self.stream)
    self.state = LifespanState({**self.state, CLIENT_SOCKET: client_socket})
    try:
        await _run(self)
    except* Exception as group:
        # No traceback: whoever provokes this could fill the log with it.
        log.warning("connection_crashed", error=repr(_first(group)))


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _read_and_handle(self: TCPServer) -> None:
    send, receive = trio.open_memory_channel[bytes](READS_AHEAD)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_handle, self, receive)
        with send:
            while data := await _read(self):
                await send.send(data)
        nursery.cancel_scope.cancel(reason="the client has gone")
    await self.protocol.handle(Closed())
    timer, self.idle_task = self.idle_task, _NoTimer()
    await timer.stop()


async def _read(self: TCPServer) -> bytes:
    """Return one read; empty at the end, of whatever kind."""
    try:
        with trio.fail_after(self.config.read_timeout or float("inf")):
            return bytes(await self.stream.receive_some(READ_BYTES))
    except (trio.ClosedResourceError, trio.BrokenResourceError, trio.TooSlowError):
        return b""


async def _handle(self: TCPServer, received: trio.MemoryReceiveChannel[bytes]) -> None:
    with received:
        async for data in received:
            await self.protocol.handle(RawData(data))


async def _send_or_be_closed(self: TCPServer, event: Event) -> None:
    if isinstance(event, RawData) and not self.send_lock.locked():
        # Between what the kernel takes and the rest, no cancellation may come in.
        await trio.lowlevel.checkpoint_if_cancelled()
        client_socket: ClientSocket = self.state[CLIENT_SOCKET]
        taken = client_socket.send_nowait(event.data)
        if taken == len(event.data):
            client_socket.count_write()
            return
        event = RawData(event.data[taken:])
    try:
        await _protocol_send(self, event)
    except trio.BusyResourceError:
        await self.protocol.handle(Closed())
    if isinstance(event, RawData):
        self.state[CLIENT_SOCKET].count_write()


class _NoTimer(TrioSingleTask):
    """What a connection has instead of an idle timer once its client has gone."""

    async def restart(self, *_: object) -> None:
        """Start nothing: an answer that ends now must not start the timer anew."""


async def _tell_whole(self: H2Protocol, stream_id: int) -> None:
    with trio.move_on_after(TELL_SECONDS, shield=True):
        await _close_stream(self, stream_id)


async def _handle_and_let_go(self: H2Protocol, event: Event) -> None:
    await _handle_h2(self, event)
    if isinstance(event, Closed):
        with trio.move_on_after(TELL_SECONDS, shield=True):
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()


async def _handle_handshake(self: WSStream, event: StreamEvent) -> None:
    if isinstance(event, Request):
        await _handle_websocket(self, event)
        if self.closed:
            await self.send(StreamClosed(stream_id=self.stream_id))
    elif self.handshake.accepted or not isinstance(event, (Body, Data)):
        await _handle_websocket(self, event)


async def _push_and_wait_until_taken(self: StreamBuffer, data: bytes) -> None:
    if data:  # nothing is nothing to wait for: its end may be on its way already
        await _push(self, data)
        await self.drain()


async def _send_to_the_end(self: H2Protocol, event: StreamEvent) -> None:
    buffer = self.stream_buffers.get(event.stream_id)
    if buffer is None or buffer._complete or self.closed:  # noqa: SLF001 - whether it has its end
        await _stream_send(self, event)
        return
    if isinstance(event, (EndBody, EndData)):
        await buffer._is_empty.clear()  # noqa: SLF001 - until its end is on its way as well
    await _stream_send(self, event)
    if isinstance(event, StreamClosed):  # without an end
        with suppress(ProtocolError):  # the client has reset it
            self.connection.reset_stream(event.stream_id, ErrorCodes.INTERNAL_ERROR)
        await buffer.close()
        await self._window_updated(event.stream_id)  # has what is left of it forgotten
        await self._flush()


async def _send_data_and_let_go(self: H2Protocol, stream_id: int) -> None:
    buffer = self.stream_buffers.get(stream_id)
    await _send_data(self, stream_id)
    if buffer is not None and stream_id not in self.stream_buffers:
        await buffer.close()  # whoever waits for its end has seen it


def mend_hypercorn() -> None:
    """Replace the methods in this process; idempotent."""
    TCPServer.run = _run_by_itself  # type: ignore[method-assign]
    TCPServer.protocol_send = _send_or_be_closed  # type: ignore[method-assign]
    TCPServer._read_data = _read_and_handle  # type: ignore[method-assign]  # noqa: SLF001
    H2Protocol._close_stream = _tell_whole  # type: ignore[method-assign]  # noqa: SLF001
    H2Protocol.handle = _handle_and_let_go  # type: ignore[method-assign]
    H2Protocol.stream_send = _send_to_the_end  # type: ignore[method-assign]
    H2Protocol._send_data = _send_data_and_let_go  # type: ignore[method-assign]  # noqa: SLF001
    WSStream.handle = _handle_handshake  # type: ignore[method-assign]
    StreamBuffer.push = _push_and_wait_until_taken  # type: ignore[method-assign]
