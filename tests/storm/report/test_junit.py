"""The report for build servers."""

from jarvis_trio.storm.report import printable
from jarvis_trio.storm.report.junit import write_junit
from tests.storm.report.reports import HOSTILE, failed, passed, read_xml, report, skipped


def test_each_scenario_is_a_test_case() -> None:
    suites = read_xml(write_junit(report(passed(), failed(), skipped())))
    assert suites.tag == "testsuites"
    (suite,) = suites
    totals = {"tests": "3", "failures": "1", "errors": "0", "skipped": "1", "time": "3.500"}
    assert totals.items() <= suites.attrib.items()
    assert totals.items() <= suite.attrib.items()
    assert suite.attrib["timestamp"] == "2026-01-02T03:04:05+00:00"
    rapid, leavers, stop = suite
    assert [case.attrib["name"] for case in suite] == ["rapid", "leavers", "stop"]
    assert rapid.attrib["time"] == "1.250"
    assert [child.tag for child in rapid] == ["system-out"]
    (failure,) = leavers
    assert failure.tag == "failure"
    assert failure.attrib["message"].startswith("NOT: the model is freed (3 of 20")
    assert "NOT: it is freed soon" in (failure.text or "").splitlines()
    (skip,) = stop
    assert (skip.tag, skip.attrib["message"]) == ("skipped", "needs --sim")


def test_whatever_a_server_says_it_is_xml() -> None:
    suites = read_xml(write_junit(report(failed(HOSTILE))))
    (failure,) = suites.iter("failure")
    assert f"NOT: the model is freed ({printable(HOSTILE)})" in (failure.text or "").splitlines()
