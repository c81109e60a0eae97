"""Nothing broken: a server with the session policy ``reject`` that ours does not have yet."""

from typing import ClassVar

from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream, Prompt
from jarvis_trio.errors import JarvisError
from jarvis_trio.web import openai_routes

_submit = Sessions.submit


class SessionBusyError(JarvisError):
    """The session's live answer goes on."""

    status = 409
    code = "session_busy"
    should_retry: ClassVar[bool | None] = False


def break_it() -> None:
    openai_routes.parse_policy = Policy  # type: ignore[assignment,attr-defined]
    Sessions.submit = _submit_or_reject  # type: ignore[method-assign]


def _submit_or_reject(
    self: Sessions, prompt: Prompt, policy: Policy = Policy.INTERRUPT
) -> LiveStream:
    session = self._sessions.get((prompt.owner, prompt.session_id))
    if policy is Policy.REJECT and session is not None:
        raise SessionBusyError("the session's last prompt is still being answered")
    return _submit(self, prompt)
