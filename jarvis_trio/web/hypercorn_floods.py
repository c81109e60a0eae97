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
5. Out of descriptors, trio's listener tries again every tenth of a second, and tells of each with a
   traceback. Here it is a line of our log.

A test over real sockets for each says when it is needed no longer.
"""

import logging
import sys
from typing import Any

import h2.events
import hypercorn.protocol
import structlog
from h2.errors import ErrorCodes
from hypercorn.config import Config
from hypercorn.events import Closed, Updated
from hypercorn.protocol.h2 import H2Protocol

from jarvis_trio.web.hypercorn_connection import Connection
from jarvis_trio.web.reset_allowance import ResetAllowance

log = structlog.get_logger("jarvis_trio")


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
    Connection.first_request_seconds = receive_timeout_seconds
    Config.ssl_handshake_timeout = receive_timeout_seconds
    Config.keep_alive_max_requests = sys.maxsize
    hypercorn.protocol.H2Protocol = BoundedH2Protocol  # type: ignore[assignment,attr-defined]
    logging.getLogger("trio.serve_listeners").addFilter(_tell_in_a_line)
