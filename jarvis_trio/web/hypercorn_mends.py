"""What Hypercorn 0.18's trio worker does to its connections, mended where it has no public place.

Over HTTP/2:

1. It takes in a whole answer for a stream whose client gives it no window: each attempt to send
   nothing counts as room. Such a client costs memory, and nothing is ever held back. Here a send
   lasts until what it brought is on its way, so that the last one waits for no other's, and how
   long one takes tells how slow the client is.
2. The end of a connection may find its own clean-up cancelled half-way: a request whose stream was
   already forgotten is never told, and one that waits for its buffer to drain waits for ever. Here
   telling one is never cut short, and a closed connection's buffers let go.
3. An answer that is given up in the middle leaves its client waiting for the rest. Here its stream
   is reset.
4. An answer counts as sent when its last byte is, and at a shutdown the connection may close before
   the end of its stream is told. Here the last send lasts until that is sent.

And for WebSockets, which nothing here accepts:

5. What comes behind a handshake that is not accepted yet is answered twice, and a connection whose
   handshake is refused is left open. Here the one is passed over, and the other closed.

:mod:`hypercorn_connection` takes the place of its connections, :mod:`hypercorn_h11` that of its
HTTP/1.1. A test over real sockets for each says when it is needed no longer.
"""

from contextlib import suppress

import hypercorn.protocol
import hypercorn.trio.run
import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, Event
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.ws_stream import WSStream

from jarvis_trio.web.hypercorn_connection import Connection, Context
from jarvis_trio.web.hypercorn_h11 import MendedH11Protocol

TELL_SECONDS = 1.0
"""Telling a request that its client has gone takes one step; its channel has room."""

_close_stream = H2Protocol._close_stream  # noqa: SLF001 - see above
_handle_h2 = H2Protocol.handle
_handle_websocket = WSStream.handle
_push = StreamBuffer.push
_stream_send = H2Protocol.stream_send
_send_data = H2Protocol._send_data  # noqa: SLF001 - see above


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
    hypercorn.trio.run.WorkerContext = Context  # type: ignore[attr-defined]
    hypercorn.trio.run.TCPServer = Connection  # type: ignore[assignment,attr-defined]
    hypercorn.protocol.H11Protocol = MendedH11Protocol  # type: ignore[assignment,attr-defined]
    H2Protocol._close_stream = _tell_whole  # type: ignore[method-assign]  # noqa: SLF001
    H2Protocol.handle = _handle_and_let_go  # type: ignore[method-assign]
    H2Protocol.stream_send = _send_to_the_end  # type: ignore[method-assign]
    H2Protocol._send_data = _send_data_and_let_go  # type: ignore[method-assign]  # noqa: SLF001
    WSStream.handle = _handle_handshake  # type: ignore[method-assign]
    StreamBuffer.push = _push_and_wait_until_taken  # type: ignore[method-assign]
