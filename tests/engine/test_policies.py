"""Policies: pure decisions, and words that are refused rather than misread."""

import pytest

from jarvis_trio.engine.policies import Decision, Policy, decide, parse_policy
from jarvis_trio.errors import QueueFullError, RequestError, SessionBusyError

NAMES = "interrupt, rollback, enqueue, reject"


@pytest.mark.parametrize("text", ["interrupt", "Interrupt", " INTERRUPT\t"])
def test_a_policy_is_read_in_any_case(text: str) -> None:
    assert parse_policy(text) is Policy.INTERRUPT


@pytest.mark.parametrize("text", ["", "interupt", "interrupt,reject", "none"])
def test_an_unknown_policy_is_refused_with_those_that_would_do(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_policy(text)
    assert refused.value.message == f"{text!r} is not a session policy; use one of: {NAMES}"
    assert (refused.value.param, refused.value.code) == ("X-Session-Policy", "invalid_request")


@pytest.mark.parametrize("active", [0, 1, 3])
def test_case_1_with_interrupt_the_newest_prompt_wins_over_all_there_are(active: int) -> None:
    assert decide(Policy.INTERRUPT, active=active, max_waiting=2) == Decision(supersedes=True)


@pytest.mark.parametrize("active", [0, 1, 3])
def test_case_2_with_rollback_what_the_newest_prompt_supersedes_never_was(active: int) -> None:
    decision = decide(Policy.ROLLBACK, active=active, max_waiting=2)
    assert decision == Decision(supersedes=True, forgets=True)


def test_case_3_with_enqueue_a_prompt_waits_behind_what_there_is_while_there_is_room() -> None:
    for active in range(3):
        assert decide(Policy.ENQUEUE, active=active, max_waiting=2) == Decision()
    full = decide(Policy.ENQUEUE, active=3, max_waiting=2)
    assert not full.supersedes
    assert isinstance(full.refusal, QueueFullError)
    assert full.refusal.retry_after == 1


def test_case_4_with_reject_a_prompt_is_refused_where_it_would_have_to_wait() -> None:
    assert decide(Policy.REJECT, active=0, max_waiting=2) == Decision()
    busy = decide(Policy.REJECT, active=1, max_waiting=2)
    assert not busy.supersedes
    assert isinstance(busy.refusal, SessionBusyError)
    assert busy.refusal.should_retry is False
