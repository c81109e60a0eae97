"""The report as the XML that build servers read: one test case for each scenario."""

import xml.etree.ElementTree as ET

from jarvis_trio.storm.report import Report, deciding, printable
from jarvis_trio.storm.trial import Trial, Verdict


def write_junit(report: Report) -> str:
    """Return it: a failure holds its evidence, what is not applicable was skipped and says why."""
    counts = report.counts
    totals = {
        "name": f"storm {printable(report.url)}",
        "tests": str(len(report.trials)),
        "failures": str(counts[Verdict.FAIL]),
        "errors": "0",
        "skipped": str(counts[Verdict.NOT_APPLICABLE]),
        "time": f"{report.seconds:.3f}",
    }
    suites = ET.Element("testsuites", totals)
    began_at = report.began_at.isoformat(timespec="seconds")
    suite = ET.SubElement(suites, "testsuite", totals | {"timestamp": began_at})
    for trial in report.trials:
        _add_case(suite, trial)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, "unicode")}\n'


def _add_case(suite: ET.Element, trial: Trial) -> None:
    attributes = {
        "classname": "jarvis_trio.storm",
        "name": printable(trial.scenario),
        "time": f"{trial.seconds:.3f}",
    }
    case = ET.SubElement(suite, "testcase", attributes)
    told = "\n".join(printable(line) for line in [trial.promise, *trial.evidence])
    match trial.verdict:
        case Verdict.FAIL:
            message = {"message": deciding(trial), "type": "storm"}
            ET.SubElement(case, "failure", message).text = told
        case Verdict.NOT_APPLICABLE:
            ET.SubElement(case, "skipped", {"message": deciding(trial)})
        case Verdict.PASS:
            ET.SubElement(case, "system-out").text = told
