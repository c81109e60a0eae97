"""A new prompt waits until nobody reads the answer before it."""

import trio

from jarvis_trio.engine.sessions import Session, Sessions
from jarvis_trio.engine.stream import LiveStream

_take_over = Sessions._take_over


def break_it() -> None:
    Sessions._take_over = _wait_and_take_over  # type: ignore[method-assign]


async def _wait_and_take_over(self: Sessions, session: Session, stream: LiveStream) -> None:
    if (holder := session.holder) is not None:
        while holder.replay._readers:
            await trio.sleep(0.01)
    await _take_over(self, session, stream)
