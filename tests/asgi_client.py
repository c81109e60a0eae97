"""A streaming ASGI client in the test's own trio run; it treats the app as Hypercorn does.

What it takes over from Hypercorn 0.18 on trio: ``send`` is shielded and waits for as long as the
peer does not read; the last message of a response delivers ``http.disconnect`` while Hypercorn's
own code still runs inside that ``send``; what is sent after a disconnect goes nowhere.
"""

import json
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

APP_ENDS_WITHIN_SECONDS = 60

Message = dict[str, Any]
Body = bytes | Iterable[bytes | float]
"""All at once, or chunk by chunk with pauses in seconds between them."""


class Exchange:
    """One request and what comes back for it.

    ``is_complete`` says that the last message was handed over and that the app did not cancel
    the ``send`` that carried it.
    """

    def __init__(self, scope: Message, body: Body, *, finishes: bool, reads: float) -> None:
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self.ended = trio.Event()
        self._scope = scope
        self._body = body
        self._finishes = finishes
        self._reads = reads
        self._status: int | None = None
        self._is_gone = False
        self._is_cut_off = trio.Event()
        self._started = trio.Event()
        # Unbounded: a test decides how much it sends, and departing must not wait.
        self._to_app, self._app_receives = trio.open_memory_channel[Message](math.inf)
        self._pieces, self._arrived = trio.open_memory_channel[bytes](math.inf)

    @property
    def has_begun(self) -> bool:
        """The response's head is there."""
        return self._status is not None

    async def status(self) -> int:
        """Wait for the response's head and return its status."""
        await self._started.wait()
        assert self._status is not None, "the app ended without a response"
        return self._status

    async def receive(self) -> bytes:
        """Wait for the next piece of the body; ``b""`` is its proper end."""
        try:
            return await self._arrived.receive()
        except trio.EndOfChannel:
            if not self.is_complete:
                raise trio.BrokenResourceError("the response was cut off") from None
            return b""

    async def read(self) -> bytes:
        """Wait for all the rest of the body."""
        pieces = []
        while piece := await self.receive():
            pieces.append(piece)
        return b"".join(pieces)

    async def json(self) -> Any:
        """Wait for all the rest of the body and decode it."""
        await self.status()
        assert self.headers["content-type"] == "application/json"
        return json.loads(await self.read())

    def disconnect(self) -> None:
        """Go away: the app is told, and a ``send`` that waits for us ends."""
        self.half_close()
        self._is_cut_off.set()

    def half_close(self) -> None:
        """Send our FIN, which the app is told of, but keep a ``send`` that waits waiting."""
        if not self._is_gone:
            self._is_gone = True
            self._to_app.send_nowait({"type": "http.disconnect"})

    async def run(self, app: Callable[..., Any], task_status: trio.TaskStatus[None]) -> None:
        """Play the server's part for one request."""
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._feed)
                await app(self._scope, self._app_receives.receive, self._send)
                nursery.cancel_scope.cancel(reason="the app is done with the request")
        finally:
            self._pieces.close()
            self._started.set()
            self.ended.set()

    async def _feed(self) -> None:
        for chunk in [self._body] if isinstance(self._body, bytes) else self._body:
            if isinstance(chunk, bytes):
                message = {"type": "http.request", "body": chunk, "more_body": True}
                self._to_app.send_nowait(message)
            await trio.sleep(0 if isinstance(chunk, bytes) else chunk)
        if self._finishes:
            self._to_app.send_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def _send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        if self._reads <= 0:
            with trio.CancelScope(shield=True):  # without a deadline, as Hypercorn's
                await self._is_cut_off.wait()
        self._reads -= 1
        if self._is_gone:
            return
        if message["type"] == "http.response.start":
            assert self._status is None, "a second response"
            self._status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self._started.set()
            return
        assert self._status is not None, "a body before its head"
        if message.get("body"):
            self._pieces.send_nowait(message["body"])
        if not message.get("more_body", False):
            self.half_close()
            for _ in range(5):  # Hypercorn closes or recycles the connection here
                await trio.lowlevel.checkpoint()
            self.is_complete = True


class Client:
    """Sends requests to ``app``."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        client: tuple[str, int] | None = ("127.0.0.1", 1234),
        finishes: bool = True,
        reads: float = math.inf,
    ) -> AsyncIterator[Exchange]:
        """Send a request; leaving the block disconnects and waits for the app to be done with it.

        A client that does not ``finish`` never ends its body; one that ``reads`` 0 messages stalls
        before the response's head, one that reads 3 after its head and two pieces.
        """
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in {"Host": "127.0.0.1:8000", **(headers or {})}.items()
            ],
            "client": client,
            "server": ("127.0.0.1", 8000),
            "state": {},
            "extensions": {},
        }
        exchange = Exchange(scope, body, finishes=finishes, reads=reads)
        async with trio.open_nursery() as nursery:
            await nursery.start(exchange.run, self.app)
            try:
                yield exchange
            finally:
                exchange.disconnect()
            with trio.fail_after(APP_ENDS_WITHIN_SECONDS):
                await exchange.ended.wait()


@asynccontextmanager
async def running(app: Callable[..., Any]) -> AsyncIterator[Client]:
    """Run the app's lifespan: started when the block is entered, shut down when it is left."""
    to_app, app_receives = trio.open_memory_channel[Message](1)
    app_sends, from_app = trio.open_memory_channel[Message](1)
    scope = {"type": "lifespan", "asgi": {"spec_version": "2.0", "version": "3.0"}, "state": {}}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, scope, app_receives.receive, app_sends.send)
        await to_app.send({"type": "lifespan.startup"})
        answer = await from_app.receive()
        assert answer["type"] == "lifespan.startup.complete", answer
        yield Client(app)
        await to_app.send({"type": "lifespan.shutdown"})
        with trio.fail_after(APP_ENDS_WITHIN_SECONDS):
            answer = await from_app.receive()
        assert answer["type"] == "lifespan.shutdown.complete", answer
