"""A prompt that is rejected ends the live answer all the same."""

from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream, Prompt
from jarvis_trio.events import Cause
from tests.end_to_end.storm.broken import with_reject


def break_it() -> None:
    with_reject.break_it()
    Sessions.submit = _submit_and_stop  # type: ignore[method-assign]


def _submit_and_stop(
    self: Sessions, prompt: Prompt, policy: Policy = Policy.INTERRUPT
) -> LiveStream:
    try:
        return with_reject._submit_or_reject(self, prompt, policy)
    except with_reject.SessionBusyError:
        for stream in self.streams:
            stream.cancel(Cause.STOPPED)
        raise
