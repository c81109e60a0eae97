"""Verdicts, evidence, and latencies that are not judged by a harness that was late."""

from jarvis_trio.storm.lag import TOO_LATE_MS
from jarvis_trio.storm.trial import Latency, Trial, Verdict


def new_trial() -> Trial:
    return Trial("name", "promise")


def test_a_trial_passes_when_every_expectation_held() -> None:
    trial = new_trial()
    trial.expect("it answers", True)
    assert trial.verdict is Verdict.PASS
    assert trial.evidence == ["it answers"]


def test_one_expectation_that_did_not_hold_fails_it_and_is_told_first() -> None:
    trial = new_trial()
    trial.expect("it answers", True)
    trial.expect("it ends", False, "after 10 s")
    trial.note("a note")
    assert trial.verdict is Verdict.FAIL
    assert trial.evidence == ["NOT: it ends (after 10 s)", "it answers", "a note"]


def test_without_an_expectation_nothing_is_said_about_the_server() -> None:
    trial = new_trial()
    trial.missing = "needs --sim"
    assert trial.verdict is Verdict.NOT_APPLICABLE
    assert trial.evidence == ["needs --sim"]


def test_latencies_are_given_in_milliseconds() -> None:
    trial = new_trial()
    trial.measure("gap", [number * 1_000_000 for number in range(200, 0, -1)])
    assert trial.latencies == [Latency("gap", 200, 101, 199, 200)]


def test_one_time_is_all_of_its_percentiles_and_none_is_no_measurement() -> None:
    trial = new_trial()
    trial.measure("none", [])
    trial.measure("one", [1_500_000])
    assert trial.latencies == [Latency("one", 1, 1.5, 1.5, 1.5)]


def test_a_latency_over_its_limit_fails_the_trial() -> None:
    trial = new_trial()
    trial.measure("first text", [10_000_000, 2_000_000_000], at_most_seconds=1)
    trial.judge_latencies(lag_ms=TOO_LATE_MS)
    assert trial.verdict is Verdict.FAIL
    assert trial.evidence == ["NOT: first text: never more than 1 s (at most 2000 ms)"]


def test_a_latency_within_its_limit_is_evidence() -> None:
    trial = new_trial()
    trial.measure("first text", [10_000_000], at_most_seconds=1)
    trial.judge_latencies(lag_ms=0)
    assert trial.verdict is Verdict.PASS


def test_a_harness_that_was_late_refuses_to_judge_latencies_and_says_so() -> None:
    trial = new_trial()
    trial.expect("it answers", True)
    trial.measure("first text", [2_000_000_000], at_most_seconds=1)
    trial.judge_latencies(lag_ms=TOO_LATE_MS + 1)
    assert trial.verdict is Verdict.PASS
    assert trial.lag_ms == TOO_LATE_MS + 1
    assert trial.evidence[1:] == [
        "latencies are not judged: this harness was 26 ms late itself (its limit is 25 ms)"
    ]


def test_lateness_is_not_mentioned_where_nothing_was_measured() -> None:
    trial = new_trial()
    trial.judge_latencies(lag_ms=1000)
    assert trial.notes == []
