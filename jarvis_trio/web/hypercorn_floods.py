"""What Hypercorn 0.18 lets a client do without end, bounded where it has no setting of its own.

1. A client that has asked for nothing yet has ``JARVIS_RECEIVE_TIMEOUT_S`` for its TLS handshake,
   and as long again for the head of its first request. Later ones begin on a connection that may
   be idle for ``keep_alive_timeout``, which bounds their heads as well.
2. Over HTTP/2, the preface of a client that knows beforehand stops that timer (it reads like a
   request), and a reset of the last stream does not start it again: such connections stayed for
   ever. Here each starts it.
3. Streams that their client opens and resets at once cost us more than they cost it. Past its
   allowance (:mod:`reset_allowance`), a connection is told ENHANCE_YOUR_CALM and closed.
4. Hypercorn bounds the requests of a connection instead: over HTTP/2, the one after
   ``keep_alive_max_requests`` cuts off every answer that is still being sent on it. Here nothing
   counts requests; what h2 remembers of closed streams has a bound of its own.
5. Whoever leaves amid more requests than are read ahead is never let go of: the next one waits for
   an answer that nobody makes any more. Here what is left is passed over, and so is what is still
   answered.
6. What h11 does for each piece of a body costs a tenth of a frame. Here a piece in chunks is framed
   at once.
7. Out of descriptors, trio's listener tries again every tenth of a second, and tells of each with a
   traceback. Here it is a line of our log.

A test over real sockets for each says when it is needed no longer.
"""

import logging
import sys
from typing import Any

import h2.events
import hypercorn.protocol
import structlog
import trio
from h2.errors import ErrorCodes
from h11._writers import ChunkedWriter
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol, H11WSConnection
from hypercorn.trio.tcp_server import TCPServer

from jarvis_trio.web.reset_allowance import ResetAllowance

CLOSE_SECONDS = 1.0
"""Telling the requests of a connection takes one step each, and closing it waits for nobody."""

log = structlog.get_logger("jarvis_trio")


class BoundedH11Protocol(H11Protocol):
    """One HTTP/1.1 connection; see the module's text for what is different."""

    _has_ended = False
    _is_chunked = False

    async def handle(self, event: Event) -> None:
        """Handle what has been read; after the end, nothing more."""
        await super().handle(event)
        if isinstance(event, Closed):
            # It takes bytes for a WebSocket's, and there is none: requests are seen no more.
            self.connection = H11WSConnection(self.connection)  # type: ignore[arg-type]
            self._has_ended = True
            await self.can_read.set()

    async def stream_send(self, event: StreamEvent) -> None:
        """Send; a piece of a body in chunks needs none of what h11 does for it."""
        if self._is_chunked and isinstance(event, Body):
            if event.data and not self._has_ended:  # a piece of nothing would be the end
                await self.send(RawData(b"%x\r\n%b\r\n" % (len(event.data), event.data)))
            return
        await super().stream_send(event)
        if isinstance(event, Response):
            # What h11 has made of the headers; None where it is a WebSocket's answer.
            writer = getattr(self.connection, "_writer", None)
            self._is_chunked = isinstance(writer, ChunkedWriter)

    async def _send_h11_event(self, event: Any) -> None:
        if not self._has_ended:  # an answer may be on its way while its request is told of the end
            await super()._send_h11_event(event)


class BoundedH2Protocol(H2Protocol):
    """One HTTP/2 connection; see the module's text for what is different."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._resets = ResetAllowance(self.context.time())

    async def initiate(
        self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        """Begin; a connection that brings no request with it is idle until it does."""
        await super().initiate(headers, settings)
        if headers is None:
            await self.send(Updated(idle=True))

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        resets = sum(isinstance(event, h2.events.StreamReset) for event in events)
        if self._resets.is_exceeded_by(resets, self.context.time()):
            self.connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            await self._flush()
            await self.send(Closed())
            return
        await super()._handle_events(events)
        if resets and self.idle:
            await self.send(Updated(idle=True))


def _tell_in_a_line(record: logging.LogRecord) -> bool:
    log.warning("accept_failed", reason=record.getMessage())
    return False


def bound_hypercorn(receive_timeout_seconds: float) -> None:
    """Bound what this process serves; what somebody sets in Hypercorn's own terms still counts."""

    async def close_when_idle(self: TCPServer) -> None:
        seconds = self.config.keep_alive_timeout
        if self.protocol.protocol.keep_alive_requests == 0:
            seconds = min(seconds, receive_timeout_seconds)
        with trio.move_on_after(seconds):
            await self.context.terminated.wait()
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._initiate_server_close()

    TCPServer._idle_timeout = close_when_idle  # type: ignore[method-assign]  # noqa: SLF001
    Config.ssl_handshake_timeout = receive_timeout_seconds
    Config.keep_alive_max_requests = sys.maxsize
    hypercorn.protocol.H11Protocol = BoundedH11Protocol  # type: ignore[attr-defined]
    hypercorn.protocol.H2Protocol = BoundedH2Protocol  # type: ignore[assignment,attr-defined]
    logging.getLogger("trio.serve_listeners").addFilter(_tell_in_a_line)
