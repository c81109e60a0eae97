"""What happens to a session's prompts when its user types again. Pure decisions, no effects.

Above: :mod:`sessions` carries the decision out. ``rollback`` is known and refused with a sentence,
so that no client that asks for it is answered by another policy.
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


AVAILABLE = frozenset({Policy.INTERRUPT, Policy.ENQUEUE, Policy.REJECT})


class Decision(Struct, frozen=True):
    """What to do with a new prompt, and with those that it meets."""

    supersedes: bool = False
    """The live answer and all that wait end with ``superseded``, and the prompt is next."""

    refusal: JarvisError | None = None
    """The prompt is not taken, and nothing changes."""


def parse_policy(text: str) -> Policy:
    """Read a policy's name. *Errors:* RequestError for one that is unknown or not yet there."""
    try:
        policy = Policy(text.strip().lower())
    except ValueError:
        names = ", ".join(sorted(AVAILABLE))
        raise RequestError(
            f"{text!r} is not a session policy; use one of: {names}", param="X-Session-Policy"
        ) from None
    if policy not in AVAILABLE:
        names = ", ".join(sorted(AVAILABLE))
        raise RequestError(
            f"the session policy {policy} is not available in this version; use one of: {names}",
            code="policy_not_available",
            param="X-Session-Policy",
        )
    return policy


def decide(policy: Policy, *, active: int, max_waiting: int) -> Decision:
    """Decide for a prompt whose session has so many prompts that nothing has ended yet.

    The first of them is live, or about to be, and the others wait; one that only unwinds is none.

    1. ``interrupt``: the newest prompt wins. What lives is cancelled; what waits never starts.
    2. ``enqueue``: what there is goes on, and the prompt waits behind it, if there is room.
    3. ``reject``: what there is goes on, and the prompt is refused.
    """
    match policy:
        case Policy.INTERRUPT:
            return Decision(supersedes=True)
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
