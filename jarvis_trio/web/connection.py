"""One HTTP request's life between Hypercorn and Quart, mended in three places.

1. Hypercorn tells of ``http.disconnect`` also when a response has been sent to its end, while its
   own code still runs inside that last ``send``; quart-trio cancels the request then, so that
   connections were never reused, never closed and never timed out. Here, a disconnect after the
   last message has been handed over is no news (Hypercorn issues #330 and #106 look like it).
2. What a request has opened must be let go of however the request ends, also when it is cancelled
   between its view and its body: ``at_end`` is that place.
3. A client that is still sending gets to read why it is refused: the last message waits, bounded,
   until the rest of the request has been read and thrown away. Closing with unread bytes in the
   kernel would reset the connection, and the reset would overtake the answer.
"""

from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Quart
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection

from jarvis_trio.config import LINGER_SECONDS

_at_end: ContextVar[ExitStack] = ContextVar("at_end")


def at_end(callback: Callable[[], None]) -> None:
    """Call ``callback`` when the current request ends, in whatever way. It must not await."""
    _at_end.get().callback(callback)


class HTTPConnection(TrioASGIHTTPConnection):
    """Quart-Trio's request task; see the module's text for what is different."""

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        super().__init__(app, scope)
        self._held = ExitStack()
        self._request_is_whole = trio.Event()
        self._response_is_sent = False

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Handle one request; whatever its view has left with ``at_end`` is let go of."""

        async def send_and_note_the_end(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                with trio.move_on_after(LINGER_SECONDS):
                    await self._request_is_whole.wait()
                self._response_is_sent = True
            await send(message)

        with self._held:
            _at_end.set(self._held)  # the request's tasks inherit it
            await super().__call__(receive, send_and_note_the_end)

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, receive: ASGIReceiveCallable
    ) -> None:
        """Feed the request's body to Quart and watch for the client's departure."""
        while True:
            message = await receive()
            if message["type"] == "http.request":
                request.body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    request.body.set_complete()
                    self._request_is_whole.set()
            elif message["type"] == "http.disconnect":
                if not self._response_is_sent:
                    # At once: a send that the client does not take is not reached by a cancel.
                    self._held.close()
                    nursery.cancel_scope.cancel(reason="client_disconnect")
                return
