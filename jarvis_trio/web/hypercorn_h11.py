"""One HTTP/1.1 connection's requests, as Hypercorn 0.18 handles them but for five things.

1. While an answer is made, a second request or a stray line end behind the first makes Hypercorn
   stop reading: it would not notice that the client has gone. Here what is behind waits, and
   reading goes on until that is much.
2. Whoever leaves amid more requests than are read ahead is never let go of: the next one waits for
   an answer that nobody makes any more. Here what is left is passed over, and so is what is still
   answered.
3. What h11 does for each piece of a body costs a tenth of a frame. Here a piece in chunks is framed
   at once.
4. What comes behind a request that is its connection's last, be it a line end, makes Hypercorn
   refuse that request, or cut its answer off. Here it is passed over.
5. Here only a connection's first request may change it to HTTP/2: any other may have waited behind
   one, and is then handled where nobody could change it.

A test over real sockets for each says when it is needed no longer.
"""

from typing import Any

import h11
from h11._writers import ChunkedWriter
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11Protocol

AHEAD_BYTES = 256 * 1024
"""What may wait behind the request that is answered, before no more of it is read."""


class PatientConnection(h11.Connection):
    """What h11 knows of a connection; nobody has to wait where it pauses."""

    is_paused = False

    def next_event(self) -> Any:
        """Return the next event, NEED_DATA also for what comes behind an unanswered request."""
        is_last = self.their_state is h11.MUST_CLOSE
        event = h11.PAUSED if is_last else super().next_event()
        self.is_paused = event is h11.PAUSED
        return h11.NEED_DATA if self.is_paused else event


class MendedH11Protocol(H11Protocol):
    """See the module's text for what is different."""

    _has_ended = False
    _is_chunked = False

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.connection = PatientConnection(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )

    async def handle(self, event: Event) -> None:
        """Handle what has been read; after the end, nothing more."""
        await super().handle(event)
        if isinstance(event, Closed):
            self._has_ended = True
            await self.can_read.set()
        while self._is_full():
            await self.can_read.clear()
            await self.can_read.wait()
            await self._handle_events()

    async def _handle_events(self) -> None:
        if not self._has_ended:
            await super()._handle_events()

    def _is_full(self) -> bool:
        is_waiting = self._is_paused and not self._has_ended
        return is_waiting and len(self.connection.trailing_data[0]) > AHEAD_BYTES

    @property
    def _is_paused(self) -> bool:
        return isinstance(self.connection, PatientConnection) and self.connection.is_paused

    async def _check_protocol(self, event: h11.Request) -> None:
        if self.keep_alive_requests == 0:
            await super()._check_protocol(event)

    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        if self._is_paused and not self._has_ended:  # what is behind has waited for this
            self.task_group.spawn(self._handle_events)

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
