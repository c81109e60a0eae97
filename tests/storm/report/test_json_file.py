"""The report for programs."""

import json
import re
from collections.abc import Iterator
from typing import Any

from jarvis_trio.storm.report import json_file
from jarvis_trio.storm.report.json_file import write_json
from tests.storm.report.reports import HOSTILE, failed, passed, report, skipped


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys(each)


def test_it_holds_all_that_was_found() -> None:
    told = json.loads(write_json(report(passed(), failed(), skipped())))
    assert (told["format"], told["versions"]["jarvis_trio"]) == (1, "1.2.3")
    assert told["verdict"] == "fail"
    assert told["counts"] == {"pass": 1, "fail": 1, "not applicable": 1}
    assert told["options"]["sessions"] == 50
    assert told["abilities"] == {"models": ["sim"], "has_sessions": False}
    assert told["began_at"] == "2026-01-02T03:04:05Z"
    rapid, leavers, stop = told["trials"]
    assert [each["verdict"] for each in told["trials"]] == ["pass", "fail", "not applicable"]
    assert rapid["latencies"][0]["p99_ms"] == 15.5
    assert rapid["timeline"][0]["client"][0] == ["sent", 0.0]
    assert leavers["findings"][1] == {
        "sentence": "the model is freed",
        "holds": False,
        "seen": "3 of 20 were answered",
    }
    assert stop["missing"] == "needs --sim"


def test_every_field_is_explained() -> None:
    told = json.loads(write_json(report(passed(), failed(), skipped())))
    explained = set(re.findall(r"``([\w ]+)``", json_file.__doc__ or ""))
    assert set(keys(told)) <= explained


def test_it_is_ascii_and_holds_what_a_server_said_as_it_was() -> None:
    text = write_json(report(failed(HOSTILE)))
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())
    assert json.loads(text)["trials"][0]["findings"][1]["seen"] == HOSTILE
