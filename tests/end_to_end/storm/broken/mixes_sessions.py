"""Text of a superseded answer comes out of the answers of other sessions."""

from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Text

_submit = Sessions.submit


def break_it() -> None:
    Sessions.submit = _submit_and_spill  # type: ignore[method-assign]


def _submit_and_spill(
    self: Sessions, prompt: Prompt, policy: Policy = Policy.INTERRUPT
) -> LiveStream:
    for stream in self.streams:
        if stream.first_text_at is not None and stream.prompt.session_id != prompt.session_id:
            stream.replay.append(stream.encoder.deltas([Text("w0 ")]))
    return _submit(self, prompt, policy)
