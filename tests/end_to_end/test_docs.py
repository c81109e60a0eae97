"""The documents' own commands, run as they stand, must print what the documents say."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.end_to_end.processes import ROOT, Server, running_server

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTED_URL = "http://127.0.0.1:8000"


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server in ``tmp_path`` as the documents start it, or over another upstream."""
    if not shutil.which("bash") or not shutil.which("curl"):
        pytest.skip("THE DOCUMENTS ARE NOT CHECKED: bash and curl are needed to run them")
    upstream = getattr(request, "param", "simulated:")
    with running_server(tmp_path, upstream, log_file="logs/system.log") as server:
        yield server


def blocks(document: str) -> list[tuple[str, str]]:
    """Return (language, text) of every fenced block."""
    return BLOCK.findall((ROOT / document).read_text("utf-8"))


def run_bash(script: str, server: Server, cwd: Path) -> str:
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script.replace(DOCUMENTED_URL, server.url)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def assert_matches(printed: str, expected: str) -> None:
    """Every expected line is printed, in this order; blank lines do not count."""
    lines = iter([line for line in printed.splitlines() if line.strip()])
    for wanted in expected.strip().splitlines():
        pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
        assert any(re.fullmatch(pattern, line) for line in lines), f"{wanted}\nnot in\n{printed}"


def test_the_one_minute_check(server: Server, tmp_path: Path) -> None:
    found = blocks("docs/verify.md")
    definitions = next(text for language, text in found if language == "bash")
    checked = 0
    for (language, script), (next_language, expected) in pairwise(found):
        if language == "bash" and next_language == "text":
            printed = run_bash(definitions + script, server, tmp_path)
            assert_matches(printed, expected)
            checked += 1
    assert checked == 8


def readmes_scripts() -> list[str]:
    return [text for language, text in blocks("README.md") if language == "bash"]


@pytest.mark.parametrize("server", ["simulated:?first_token_ms=3000"], indirect=True)
def test_the_readmes_demonstration(server: Server, tmp_path: Path) -> None:
    """On a model that is slow enough for prompts which come late, as the machine is busy."""
    _, demonstration, _ = readmes_scripts()
    printed = run_bash(demonstration, server, tmp_path)
    assert printed.count('"code":"superseded"') == 4
    assert printed.count('"finish_reason":"stop"') == 1


def test_the_readmes_curl_lines(server: Server, tmp_path: Path) -> None:
    curl, _, coming_back = readmes_scripts()
    assert "data: [DONE]" in run_bash(curl, server, tmp_path)
    begun, _, resumed = run_bash(coming_back, server, tmp_path).partition("id: 6\n")
    assert begun.count("data: ") == 5
    assert "[DONE]" not in begun
    assert resumed.count("[DONE]") == 1


def test_the_readmes_python_example(server: Server) -> None:
    (script,) = [text for language, text in blocks("README.md") if language == "python"]
    done = subprocess.run(
        [sys.executable, "-c", script.replace(DOCUMENTED_URL, server.url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "4" in done.stdout
