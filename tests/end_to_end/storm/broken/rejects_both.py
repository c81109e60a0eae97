"""A prompt that is rejected ends the live answer all the same."""

from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import SessionBusyError
from jarvis_trio.events import Cause

_submit = Sessions.submit


def break_it() -> None:
    Sessions.submit = _submit_and_stop  # type: ignore[method-assign]


def _submit_and_stop(
    self: Sessions, prompt: Prompt, policy: Policy = Policy.INTERRUPT
) -> LiveStream:
    try:
        return _submit(self, prompt, policy)
    except SessionBusyError:
        for stream in self.streams:
            stream.cancel(Cause.STOPPED)
        raise
