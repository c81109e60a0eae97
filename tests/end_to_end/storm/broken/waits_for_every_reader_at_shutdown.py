"""Told to go, the server waits for whoever has not read its answer, however long."""

import trio

from jarvis_trio import serve
from jarvis_trio.events import Cause
from jarvis_trio.web.drain import Drain
from jarvis_trio.web.stall_watch import StallWatch

MANY_TOKENS = 1000
"""An answer that has more is a flood, which goes on until its reader has stalled for sure."""


def break_it() -> None:
    Drain.run = _wait  # type: ignore[method-assign]
    StallWatch.run = _never_look  # type: ignore[method-assign]
    serve.SPARE_SECONDS = 60  # Hypercorn ends its connections then


async def _wait(self: Drain) -> None:
    await self.begun.wait()
    for stream in list(self._sessions.streams):
        if stream.answer.pieces < MANY_TOKENS:
            stream.cancel(Cause.SHUTDOWN)
    await self._wait_for_departures()
    self.done.set()


async def _never_look(self: StallWatch) -> None:
    await trio.sleep_forever()
