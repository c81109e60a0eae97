"""Schemathesis against a running server: what ``/openapi.json`` says is what the server does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.processes import NOBODY, Server, fetch, running_server

KEY = "Authorization: Bearer mine"
ENDS_WITHIN_SECONDS = 100
WITH_A_STREAM = """
[[operations]]
include-operation-id = "stream"
parameters = {{ stream_id = "{stream_id}" }}
generation.allow-extra-parameters = false  # an unknown header is no fault
# What is not there yet is 400, and of streams that others have seen the most is gone.
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 410]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers have five tokens and take no time."""
    upstream = "simulated:?tokens_per_second=0&first_token_ms=0&length=5"
    with running_server(
        tmp_path_factory.mktemp("openapi"), upstream, admin_keys="mine", resume_grace_s="600"
    ) as server:
        yield server


def ended_stream(server: Server) -> str:
    """Return the id of an answer that can be read again."""
    headers = {"Authorization": "Bearer mine", "X-On-Disconnect": "continue"}
    body = {"prompt": "What is 2+2?", "stream": True}
    url = f"{server.url}/v1/chat/completions"
    response = httpx.post(url, headers=headers, json=body, trust_env=False, verify=NOBODY)
    stream_id: str = response.headers["x-stream-id"]
    return stream_id


def examine(server: Server, path: Path, *options: str, phases: set[str]) -> dict[str, Any]:
    """Run every check, with the same requests each time; return the report, which is clean."""
    report = path / "report.json"
    config = WITH_A_STREAM.format(stream_id=ended_stream(server))
    (path / "schemathesis.toml").write_text(config, "utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    command += ["--checks", "all", "--generation-deterministic", "--max-examples", "10"]
    command += ["--phases", ",".join(sorted(phases))]
    command += ["--report", "json", "--report-json-path", str(report), "--no-color", *options]
    run = subprocess.run(
        command, cwd=path, capture_output=True, text=True, timeout=ENDS_WITHIN_SECONDS, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    assert found["complete"]
    assert not found["failures"]
    assert not found["errors"]
    done = {name for name, phase in found["phases"].items() if phase["status"] == "success"}
    assert done == phases
    # It examines every address but the one it has read.
    described = fetch(f"{server.url}/openapi.json").json()["paths"]
    assert found["operations"]["tested"] == sum(map(len, described.values())) - 1
    return found


def assert_no_fault(server: Server) -> None:
    """The log tells of no fault of our own and of no broken connection."""
    server.wait_until_idle()
    assert not {"request_failed", "connection_crashed"} & {line["event"] for line in server.log()}


def test_the_server_does_what_its_document_says(server: Server, tmp_path: Path) -> None:
    found = examine(
        server, tmp_path, "-H", KEY, phases={"examples", "coverage", "fuzzing", "stateful"}
    )
    assert not any(found["warnings"].values()), found["warnings"]
    for phase in ("coverage", "fuzzing"):
        rates = found["valid_rates"]["POST /v1/chat/completions"][phase]
        assert rates["accepted"] > rates["rejected"], rates
    assert_no_fault(server)


def test_it_does_so_also_for_who_has_no_key(server: Server, tmp_path: Path) -> None:
    found = examine(server, tmp_path, phases={"coverage"})
    warnings = {name: seen for name, seen in found["warnings"].items() if seen}
    assert list(warnings) == ["missing_auth"]
    # Chat, the models, the sessions, the streams, the stops, the overview, the tasks.
    assert len(warnings["missing_auth"]) == 13
    assert_no_fault(server)
