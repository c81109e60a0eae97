"""A new prompt waits until nobody reads the answer before it."""

import trio

from jarvis_trio.engine.session import Session
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream

_take_over = Sessions._take_over
_latest: dict[str, LiveStream] = {}


def break_it() -> None:
    Sessions._take_over = _wait_and_take_over  # type: ignore[method-assign]


async def _wait_and_take_over(self: Sessions, session: Session, stream: LiveStream) -> None:
    predecessor = _latest.get(session.id)
    while predecessor and predecessor.replay._readers:  # noqa: ASYNC110 - leaving tells nobody
        await trio.sleep(0.01)
    await _take_over(self, session, stream)
    _latest[session.id] = stream
