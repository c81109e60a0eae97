"""The table, as a terminal and as the log of a build have it."""

import io
import re

import pytest

from jarvis_trio.storm.report import printable
from jarvis_trio.storm.report.table import print_table
from jarvis_trio.storm.trial import Trial
from tests.storm.report.reports import HOSTILE, failed, passed, report, skipped

EXPECTED = """\
scenario   verdict          evidence                          p50 / p99 ms     s
────────────────────────────────────────────────────────────────────────────────
rapid      pass             the last prompt is answered in      7.3 / 15.5   1.2
                            full (HTTP 200, [DONE]), and 1
                            more
leavers    fail             NOT: the model is freed (3 of                    2.0
                            20 were answered), and 1 more
stop       not applicable   needs --sim                                      0.0

rapid
  last prompt to its first text: p50 7.3 ms, p99 15.5 ms, most 15.5 ms (of 10)

leavers
  A client that leaves frees the model.
  NOT: the model is freed (3 of 20 were answered)
  NOT: it is freed soon
  no sessions: 3 of 20 were answered

1 pass, 1 fail, 1 not applicable; http://127.0.0.1:8000, 3.5 s, seed 0
"""


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal's variables, whatever runs the tests."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(*trials: Trial, file: io.StringIO | None = None) -> str:
    file = file or io.StringIO()
    print_table(report(*trials), file)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def test_without_a_terminal_it_is_plain_text() -> None:
    assert printed(passed(), failed(), skipped()) == EXPECTED


def test_columns_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert "NOT: the model is freed (3 of 20 were answered), and 1 more" in printed(failed())


@pytest.mark.parametrize("columns", ["1", "20", "45"])
def test_a_verdict_is_told_however_narrow_the_terminal_is(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = printed(failed(), skipped()).splitlines()
    assert any(re.match("leavers +fail ", line) for line in lines)
    assert any(re.match("stop +not applicable ", line) for line in lines)


def test_a_terminal_has_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;31m" in printed(failed(), file=Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in printed(failed(), file=Terminal())


@pytest.mark.parametrize("file", [io.StringIO, Terminal])
def test_what_a_server_says_is_text(
    monkeypatch: pytest.MonkeyPatch, file: type[io.StringIO]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for said in ("[bold]:smile:", HOSTILE):
        shown = re.sub("\x1b\\[[0-9;]*m", "", printed(failed(said), file=file()))
        assert shown.count(printable(said)) == 3
        assert all(line.isprintable() for line in shown.splitlines())
