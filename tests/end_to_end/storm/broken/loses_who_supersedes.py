"""A prompt that superseded another waits for ever."""

import trio

from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.session import Session
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream

_submit = Sessions.submit
_take_over = Sessions._take_over
_lost: set[str] = set()


def break_it() -> None:
    Sessions.submit = _submit_and_lose  # type: ignore[method-assign]
    Sessions._take_over = _take_over_and_wait  # type: ignore[method-assign]


def _submit_and_lose(
    self: Sessions, prompt: Prompt, policy: Policy = Policy.INTERRUPT
) -> LiveStream:
    supersedes = (prompt.owner, prompt.session_id) in self._sessions
    stream = _submit(self, prompt, policy)
    if supersedes:
        _lost.add(stream.id)
    return stream


async def _take_over_and_wait(self: Sessions, session: Session, stream: LiveStream) -> None:
    await _take_over(self, session, stream)
    if stream.id in _lost:
        await trio.sleep_forever()
