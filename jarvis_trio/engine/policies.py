"""What happens to a session's prompts when its user types again. Pure decisions, no effects.

Above: :mod:`sessions` carries the decision out.
"""

from enum import StrEnum

from msgspec import Struct

from jarvis_trio.errors import JarvisError, QueueFullError, RequestError, SessionBusyError

QUEUE_RETRY_AFTER_SECONDS = 1.0


class Policy(StrEnum):
    """What a prompt does where another one of its session lives or waits."""

    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"
    ENQUEUE = "enqueue"
    REJECT = "reject"


class Decision(Struct, frozen=True):
    """What to do with a new prompt, and with those that it meets."""

    supersedes: bool = False
    """The live answer and all that wait end with ``superseded``, and the prompt is next."""

    forgets: bool = False
    """What it supersedes leaves nothing in the history, neither the prompt nor its answer."""

    refusal: JarvisError | None = None
    """The prompt is not taken, and nothing changes."""


def parse_policy(text: str) -> Policy:
    """Read a policy's name. *Errors:* RequestError for one that is unknown."""
    try:
        return Policy(text.strip().lower())
    except ValueError:
        raise RequestError(
            f"{text!r} is not a session policy; use one of: {', '.join(Policy)}",
            param="X-Session-Policy",
        ) from None


def decide(policy: Policy, *, active: int, max_waiting: int) -> Decision:
    """Decide for a prompt whose session has so many prompts that nothing has ended yet.

    The first of them is live, or about to be, and the others wait; one that only unwinds is none.

    1. ``interrupt``: the newest prompt wins. What lives is cancelled; what waits never starts.
    2. ``rollback``: the same, and what is cancelled never was.
    3. ``enqueue``: what there is goes on, and the prompt waits behind it, if there is room.
    4. ``reject``: what there is goes on, and the prompt is refused.
    """
    match policy:
        case Policy.INTERRUPT:
            return Decision(supersedes=True)
        case Policy.ROLLBACK:
            return Decision(supersedes=True, forgets=True)
        case Policy.ENQUEUE if active > max_waiting:
            return Decision(
                refusal=QueueFullError(
                    f"{max_waiting} prompts of this session wait already, which is all that may; "
                    "try again when one is answered",
                    retry_after=QUEUE_RETRY_AFTER_SECONDS,
                )
            )
        case Policy.REJECT if active:
            return Decision(refusal=SessionBusyError("this session is answering another prompt"))
        case Policy.ENQUEUE | Policy.REJECT:
            return Decision()
    raise NotImplementedError(policy)
