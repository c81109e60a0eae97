"""What all forms of the report share."""

from html import escape

import pytest

from jarvis_trio.storm.report import deciding, in_brief, printable
from jarvis_trio.storm.trial import LONGEST_SEEN, Trial, Verdict
from tests.storm.report.reports import HOSTILE, failed, passed, read_xml, report, skipped


def test_one_failure_is_a_failure_of_the_whole() -> None:
    assert report(passed(), failed(), skipped()).verdict is Verdict.FAIL
    assert report(passed(), skipped()).verdict is Verdict.PASS
    assert report(skipped()).verdict is Verdict.NOT_APPLICABLE


def test_the_counts_are_told_in_a_few_words() -> None:
    assert in_brief(report(passed(), passed(), failed()).counts) == "2 pass, 1 fail"
    assert in_brief(report().counts) == "none"


def test_what_decided_is_the_first_thing_that_did_not_hold() -> None:
    told = "NOT: the model is freed (3 of 20 were answered), and 1 more"
    assert deciding(failed()) == told
    assert (
        deciding(passed()) == "the last prompt is answered in full (HTTP 200, [DONE]), and 1 more"
    )
    assert deciding(skipped()) == "needs --sim"


def test_what_is_printed_moves_no_cursor_and_may_stand_in_xml() -> None:
    told = printable(HOSTILE)
    assert told.isprintable()
    assert read_xml(f"<a>{escape(told)}</a>").text == told
    assert told.startswith(r"\x1b[31m")
    assert r"\x9b2J\u202e\ud800\ufffe" in told
    assert printable("é 漢 😀") == "é 漢 😀"


@pytest.mark.parametrize(("seen", "told"), [([], ""), (["a", "b"], "a; b"), (0, "0")])
def test_what_was_seen_is_told_in_words(seen: object, told: str) -> None:
    trial = Trial("a", "b")
    trial.expect("c", holds=True, seen=seen)
    assert trial.findings[0].seen == told


def test_a_server_is_not_quoted_at_any_length() -> None:
    trial = Trial("a", "b")
    trial.expect("c", holds=True, seen="x" * 1_000_000)
    assert trial.findings[0].seen == "x" * LONGEST_SEEN
