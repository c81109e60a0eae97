"""A streaming response: one reader of one stream, and nothing else.

The body drains frames. It opens no nursery and no scope that outlives one ``receive`` (a nursery
opened in a view and closed in a body corrupts trio's scope stack), and nothing waits for it.
"""

from collections.abc import AsyncIterator
from typing import Self

import trio
from quart.wrappers.response import ResponseBody

from jarvis_trio.config import WRITE_SLICE_BYTES
from jarvis_trio.engine.replay import Reader


class StreamBody(ResponseBody):
    """Sends what ``reader`` receives, in slices, with ``ping`` when there was nothing for long.

    Resources: the reader is let go of by the request (:func:`connection.at_end`), since a body
    that is never entered is never left either.
    """

    def __init__(self, reader: Reader, keepalive_seconds: float, ping: bytes) -> None:
        self._reader = reader
        self._keepalive_seconds = keepalive_seconds
        self._ping = ping

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = self._ping
        with trio.move_on_after(self._keepalive_seconds):
            data = await self._reader.receive(WRITE_SLICE_BYTES)
        if not data:
            raise StopAsyncIteration
        return data
