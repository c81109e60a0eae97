"""What happens to the live stream when its user types again. Pure decisions, no effects.

Above: :mod:`sessions` carries the decision out. ``interrupt`` is the only policy so far; the
words for the others are known, and refused with a sentence, so that no client that asks for
``reject`` is answered by an interrupt.
"""

from enum import StrEnum

from msgspec import Struct

from jarvis_trio.errors import RequestError


class Policy(StrEnum):
    """What a prompt does to the live stream of its session."""

    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"
    ENQUEUE = "enqueue"
    REJECT = "reject"


AVAILABLE = frozenset({Policy.INTERRUPT})


class Decision(Struct, frozen=True):
    """What to do with the streams that a new prompt meets."""

    cancel_live: bool
    cancel_waiting: bool


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
        raise RequestError(
            f"the session policy {policy} is not available in this version; use interrupt",
            code="policy_not_available",
            param="X-Session-Policy",
        )
    return policy


def decide(policy: Policy, *, has_live: bool, waiting: int) -> Decision:
    """Decide for a prompt whose session has a live stream or not, and so many that wait.

    1. ``interrupt``: the newest prompt wins. The live stream is cancelled; a prompt that still
       waits for an older one to unwind never starts.
    """
    if policy is not Policy.INTERRUPT:
        raise NotImplementedError(policy)
    return Decision(cancel_live=has_live, cancel_waiting=waiting > 0)
