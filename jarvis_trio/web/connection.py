"""One HTTP request's life between Hypercorn and Quart, mended in four places.

1. Hypercorn tells of ``http.disconnect`` also when a response has been sent to its end, while its
   own code still runs inside that last ``send``; quart-trio cancels the request then, so that
   connections were never reused, never closed and never timed out. Here, a disconnect after the
   last message has been handed over is no news (Hypercorn issues #330 and #106 look like it).
2. What a request has opened must be let go of however the request ends, also when it is cancelled
   between its view and its body: ``at_end`` is that place.
3. A client that is still sending gets to read why it is refused: the last message waits, bounded,
   until the rest of the request has been read and thrown away. Closing with unread bytes in the
   kernel would reset the connection, and the reset would overtake the answer.
4. Quart sends a whole answer in one piece, which a slow client cannot take in time, however long it
   is: it goes in slices, like a stream.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar

import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    HTTPResponseBodyEvent,
    HTTPScope,
)
from quart import Quart, request
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection

from jarvis_trio.config import (
    LINGER_SECONDS,
    LINGER_WHILE_DRAINING_SECONDS,
    WRITE_SLICE_BYTES,
)
from jarvis_trio.errors import RequestError, RequestTimeoutError, ServerShutdownError
from jarvis_trio.events import Cause
from jarvis_trio.web.client_socket import CLIENT_SOCKET, ClientSocket
from jarvis_trio.web.drain import Drain
from jarvis_trio.web.stall_watch import StallWatch
from jarvis_trio.wire.openai.frames import encode_error

STALL_WATCH = "jarvis_trio.stall_watch"
"""Where the application keeps its :class:`StallWatch`, among Quart's ``extensions``."""

DRAIN = "jarvis_trio.drain"
"""Where the application keeps its :class:`Drain`, likewise."""

LetGo = Callable[[Cause], None]

_current: ContextVar["HTTPConnection"] = ContextVar("current")


def at_end(let_go: LetGo) -> None:
    """Call ``let_go`` when the current request ends, with the cause. It must not await."""
    _current.get().held.append(let_go)


def began_at() -> float:
    """Return when the current request began to arrive, on trio's clock."""
    return _current.get().began_at


async def receive_body() -> bytes:
    """Return the whole body of the current request.

    Errors: ServerShutdownError when the server drains while the client is still sending,
    RequestTimeoutError when it takes too long, and Quart's own for a body that is too large.
    """
    with _current.get().receiving as patience:
        body: bytes = await request.body
        request.body.clear()
        return body
    if trio.current_time() >= patience.deadline:
        raise RequestTimeoutError("the request did not arrive in time")
    raise ServerShutdownError("the server is shutting down", retry_after=1.0)


class HTTPConnection(TrioASGIHTTPConnection):
    """Quart-Trio's request task; see the module's text for what is different."""

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        super().__init__(app, scope)
        self.began_at = trio.current_time()
        self.held: list[LetGo] = []
        self.client_socket: ClientSocket | None = scope.get("state", {}).get(CLIENT_SOCKET)
        self.shares_connection = scope["http_version"] not in ("1.0", "1.1")
        self.receiving = trio.CancelScope(relative_deadline=app.config["BODY_TIMEOUT"])
        self._watch: StallWatch = app.extensions[STALL_WATCH]
        self._drain: Drain = app.extensions[DRAIN]
        self._request_is_whole = trio.Event()
        self._response_has_begun = False
        self._response_is_sent = False

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Handle one request; whatever its view has left with ``at_end`` is let go of.

        Its messages are received here, and its response is made in a task of its own.
        """
        self._send = send
        self._drain.enter(self)
        try:
            _current.set(self)  # the response's task inherits it
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                try:
                    request = self._create_request_from_scope(send)
                except (ValueError, IndexError):  # no view will answer it
                    await self._refuse(RequestError("the address of this request cannot be read"))
                else:
                    nursery.start_soon(self.handle_request, nursery, request, self.send)
                    await self.handle_messages(nursery, request, receive)
        finally:
            self._drain.leave(self)
            self._let_go(Cause.CLIENT_DISCONNECT)

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, receive: ASGIReceiveCallable
    ) -> None:
        """Feed the request's body to Quart and watch for the client's departure."""
        while True:
            message = await receive()
            if message["type"] == "http.request":
                if not self._response_has_begun:  # what comes later is thrown away
                    request.body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    request.body.set_complete()
                    self._request_is_whole.set()
            elif message["type"] == "http.disconnect":
                if not self._response_is_sent:
                    # At once: a send that the client does not take is not reached by a cancel.
                    self._let_go(Cause.CLIENT_DISCONNECT)
                    nursery.cancel_scope.cancel(reason=Cause.CLIENT_DISCONNECT)
                return

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message of the response: a long one in slices, the last one when it may go."""
        self._response_has_begun = True
        if message["type"] == "http.response.body":
            if len(message["body"]) > WRITE_SLICE_BYTES:
                for part in _slices(message):
                    await self.send(part)
                return
            if not message["more_body"]:
                await self._hear_the_client_out()
                self._response_is_sent = True
        self._watch.begin(self)
        try:
            await self._send(message)
        except trio.TooSlowError:  # HTTP/3, which watches its clients itself
            self.give_up()
            await trio.lowlevel.checkpoint()
        finally:
            self._watch.end(self)

    async def _hear_the_client_out(self) -> None:
        if not self._request_is_whole.is_set():
            hurry = self._drain.begun.is_set()
            with trio.move_on_after(LINGER_WHILE_DRAINING_SECONDS if hurry else LINGER_SECONDS):
                await self._request_is_whole.wait()

    async def _refuse(self, error: RequestError) -> None:
        self._request_is_whole.set()  # nobody reads the rest
        headers = [(b"content-type", b"application/json")]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        body = encode_error(error)
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def stop_receiving(self) -> None:
        """Answer at once, if the request is still being sent."""
        self.receiving.cancel(reason="the server is shutting down")

    def give_up(self) -> None:
        """Let go of the stream and cancel the request: its client takes nothing any more."""
        self._let_go(Cause.CLIENT_STALLED)
        self._scope.cancel(reason=Cause.CLIENT_STALLED)

    def _let_go(self, cause: Cause) -> None:
        while self.held:
            self.held.pop()(cause)


def _slices(message: HTTPResponseBodyEvent) -> Iterator[HTTPResponseBodyEvent]:
    """Return a long body in slices: each has the whole timeout to be taken."""
    body, more_body = message["body"], message["more_body"]
    for start in range(0, len(body), WRITE_SLICE_BYTES):
        end = start + WRITE_SLICE_BYTES
        yield {
            "type": "http.response.body",
            "body": body[start:end],
            "more_body": more_body or end < len(body),
        }
