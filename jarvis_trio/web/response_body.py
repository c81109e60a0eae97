"""A streaming response: one reader of one stream, and nothing else.

The body drains frames. It opens no nursery and no scope that outlives one ``receive`` (a nursery
opened in a view and closed in a body corrupts trio's scope stack), and nothing waits for it.
"""

from collections.abc import AsyncIterator
from typing import Final, Self

import trio
from quart import Response
from quart.wrappers.response import ResponseBody

from jarvis_trio.config import WRITE_SLICE_BYTES
from jarvis_trio.engine.replay import Reader

NEARLY = 0.9

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"

UNBUFFERED: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
"""Tells proxies to pass on what there is."""


class Keepalive:
    """Sends ``ping`` to whoever has had nothing for ``seconds``. Run it while there are bodies.

    One task for all: a deadline for each frame would cost more than to make the frame.
    """

    def __init__(self, seconds: float, ping: bytes) -> None:
        self._seconds = seconds
        self._ping = ping
        self._bodies: set[StreamBody] = set()
        self._news = trio.Event()

    def enter(self, body: "StreamBody") -> None:
        """Look after a body from now on."""
        if not self._bodies:
            self._news.set()
        self._bodies.add(body)

    def leave(self, body: "StreamBody") -> None:
        """Forget it; idempotent."""
        self._bodies.discard(body)

    async def run(self) -> None:
        """Ping until cancelled."""
        while True:
            while not self._bodies:  # one may have come, and gone again, in one step
                self._news = trio.Event()
                await self._news.wait()
            # A body that comes later is due later.
            await trio.sleep_until(min(body.waits_since for body in self._bodies) + self._seconds)
            # Those that are nearly due go along: many that wait are not as many rounds.
            latest = trio.current_time() - NEARLY * self._seconds
            for body in self._bodies:
                if body.waits_since <= latest:
                    body.ping(self._ping)


class StreamBody(ResponseBody):
    """Sends what ``reader`` receives, in slices, with a ping when there was nothing for long.

    Resources: the reader is let go of by the request (:func:`connection.at_end`), since a body
    that is never entered is never left either.
    """

    def __init__(self, reader: Reader, keepalive: Keepalive) -> None:
        self.waits_since = trio.current_time()
        self._is_waiting = False
        self._reader = reader
        self._keepalive = keepalive

    def ping(self, data: bytes) -> None:
        """Send ``data``, unless something is being sent."""
        self.waits_since = trio.current_time()
        if self._is_waiting:
            self._reader.hand(data)

    async def __aenter__(self) -> Self:
        self.waits_since = trio.current_time()
        self._keepalive.enter(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keepalive.leave(self)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.waits_since = trio.current_time()
        self._is_waiting = True
        data = await self._reader.receive(WRITE_SLICE_BYTES)
        self._is_waiting = False
        if not data:
            raise StopAsyncIteration
        return data


def respond_with(body: StreamBody) -> Response:
    """Return a response that streams."""
    response = Response(body, content_type=EVENT_STREAM)
    response.timeout = None  # Quart would cut the answer off after a minute
    return response
