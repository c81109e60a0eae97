"""The first answer that is superseded beside another session's blocks the event loop."""

import time

from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream

SECONDS = 5

_submit = Sessions.submit
_blocked: set[str] = set()


def break_it() -> None:
    Sessions.submit = _submit_slowly  # type: ignore[method-assign]


def _submit_slowly(self: Sessions, prompt: Prompt, policy: Policy = Policy.INTERRUPT) -> LiveStream:
    live = {stream.prompt.session_id for stream in self.streams}
    session = prompt.session_id
    if len(live) > 1 and session in live and session not in _blocked:
        _blocked.add(session)
        time.sleep(SECONDS)
    return _submit(self, prompt, policy)
