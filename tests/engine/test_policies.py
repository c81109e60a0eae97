"""Policies: pure decisions, and words that are refused rather than misread."""

import pytest

from jarvis_trio.engine.policies import AVAILABLE, Decision, Policy, decide, parse_policy
from jarvis_trio.errors import RequestError


@pytest.mark.parametrize("text", ["interrupt", "Interrupt", " INTERRUPT\t"])
def test_interrupt_is_read_in_any_case(text: str) -> None:
    assert parse_policy(text) is Policy.INTERRUPT


@pytest.mark.parametrize("policy", sorted(set(Policy) - AVAILABLE))
def test_a_policy_that_is_not_there_yet_is_refused_and_never_read_as_another(
    policy: Policy,
) -> None:
    with pytest.raises(RequestError) as refused:
        parse_policy(policy.value)
    assert refused.value.status == 400
    assert refused.value.code == "policy_not_available"
    assert refused.value.param == "X-Session-Policy"
    assert policy.value in refused.value.message


@pytest.mark.parametrize("text", ["", "interupt", "interrupt,reject", "none"])
def test_an_unknown_policy_is_refused_with_those_that_would_do(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_policy(text)
    assert refused.value.message == f"{text!r} is not a session policy; use one of: interrupt"
    assert (refused.value.param, refused.value.code) == ("X-Session-Policy", "invalid_request")


def test_case_1_the_newest_prompt_wins_over_the_live_one_and_the_waiting_one() -> None:
    both = decide(Policy.INTERRUPT, has_live=True, waiting=1)
    assert both == Decision(cancel_live=True, cancel_waiting=True)
    neither = decide(Policy.INTERRUPT, has_live=False, waiting=0)
    assert neither == Decision(cancel_live=False, cancel_waiting=False)


@pytest.mark.parametrize("policy", sorted(set(Policy) - AVAILABLE))
def test_no_decision_is_made_up_for_a_policy_that_is_not_there(policy: Policy) -> None:
    with pytest.raises(NotImplementedError):
        decide(policy, has_live=True, waiting=0)


def test_every_policy_that_is_available_can_be_decided() -> None:
    for policy in AVAILABLE:
        assert isinstance(decide(policy, has_live=True, waiting=0), Decision)
