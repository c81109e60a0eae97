"""How many requests a client may take back at once."""

from jarvis_trio.web.reset_allowance import RESETS_AT_ONCE, RESETS_PER_SECOND, ResetAllowance


def test_a_thousand_at_once_are_allowed_and_one_more_is_not() -> None:
    allowance = ResetAllowance(now=0)
    assert not any(allowance.is_exceeded_by(1, now=0) for _ in range(RESETS_AT_ONCE))
    assert allowance.is_exceeded_by(1, now=0)


def test_what_comes_together_is_counted_together() -> None:
    assert not ResetAllowance(now=0).is_exceeded_by(RESETS_AT_ONCE, now=0)
    assert ResetAllowance(now=0).is_exceeded_by(RESETS_AT_ONCE + 1, now=0)


def test_they_are_forgiven_in_time() -> None:
    allowance = ResetAllowance(now=100)
    allowance.is_exceeded_by(RESETS_AT_ONCE, now=100)
    assert not allowance.is_exceeded_by(2 * RESETS_PER_SECOND, now=102)
    assert allowance.is_exceeded_by(1, now=102)


def test_what_goes_on_for_ever_at_that_rate_is_allowed() -> None:
    allowance = ResetAllowance(now=0)
    assert not any(allowance.is_exceeded_by(RESETS_PER_SECOND, now=now) for now in range(10_000))


def test_who_has_long_been_quiet_saves_nothing_up() -> None:
    allowance = ResetAllowance(now=0)
    assert not allowance.is_exceeded_by(0, now=10_000)
    assert allowance.is_exceeded_by(RESETS_AT_ONCE + 1, now=10_000)
