"""How things look, whatever they hold."""

import re
import time

import pytest
from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from jarvis_trio.chat.client import SessionEntry, SessionList
from jarvis_trio.chat.ink import Ink
from jarvis_trio.chat.screen import Row

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def ink(monkeypatch: pytest.MonkeyPatch) -> Ink:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Ink()


def seen(rows: list[Row]) -> str:
    return "\n".join(COLOURS.sub("", row.sent).rstrip() for row in rows).strip("\n")


def test_markdown_is_drawn(ink: Ink) -> None:
    rows = ink.markdown("Some **bold** text:\n\n- one\n- two", 40)
    assert seen(rows) == "Some bold text:\n\n • one\n • two"
    assert "\x1b[1mbold" in rows[0].sent


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("a [bold]b[/bold] [/] c", "a [bold]b[/bold] [/] c"),
        ("Vec<String> and <b>this</b>", "Vec<String> and <b>this</b>"),
        ("<script>\nx\n</script>", "<script> x </script>"),
        (":smile: [red]", ":smile: [red]"),
        ("[text](http://a.test/b)", "text (http://a.test/b)"),
        ("```\n[red]\n\n  <x>\n```", "[red]\n\n  <x>"),
    ],
)
def test_what_only_looks_like_markup_is_text(ink: Ink, source: str, shown: str) -> None:
    assert seen(ink.markdown(source, 60)) == shown


HOSTILE = [
    "\x1b[2J\x1b]0;title\x07\x9b31m\x00",
    "&#27;[2J &#x9b; &#x202e; &#12; &#13; &#10;",
    "[a](http://x\x1b[2J.test) ![b](c&#x1b;)",
    "```\x1b[2J\n\x1b]52;c;aGk=\x07\r\n```",
    "| a\x1b | b |\n|---|---|\n| \u202e | &#12; |",
    "> " * 200 + "deep",
    "- " * 200 + "deep",
    "* a\n" * 50 + "[" * 500,
    "\ud800 \u2028 \u2029",
]


@pytest.mark.parametrize("width", [1, 20, 80])
@pytest.mark.parametrize("source", HOSTILE)
def test_no_text_is_a_command_and_every_row_fits(ink: Ink, source: str, width: int) -> None:
    entry = SessionEntry(source, source, source, source)
    shown = (
        ink.markdown(source, width),
        ink.thought(source, width),
        ink.prompt(source, width),
        ink.remark(source, "red", width),
        ink.sessions(SessionList([entry], has_more=True), width),
    )
    for rows in shown:
        for row in rows:
            text = COLOURS.sub("", row.sent)
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]", text)
            assert row.cells == cell_len(text) <= max(width, 20)
            row.sent.encode()


def test_no_colour_is_sent_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    rows = Ink().rows(Text("red", "red"), 40)
    assert "31" not in rows[0].sent


def test_the_list_of_sessions_marks_those_that_answer(ink: Ink) -> None:
    found = SessionList(
        [
            SessionEntry("s-1", "First [red]", "2026-01-02T03:04:05Z", "str_1"),
            SessionEntry("s-2"),
        ]
    )
    lines = seen(ink.sessions(found, 80)).splitlines()
    assert re.fullmatch(r"s-1 +First \[red\] +2026-01-02T03:04:05Z +● live", lines[1])
    assert lines[2] == "s-2"
    assert seen(ink.sessions(SessionList([]), 80)) == "there is none"


def test_a_time_is_shown_as_people_read_it(ink: Ink) -> None:
    noon = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))
    for given, shown in ((int(noon), "2026-01-02 12:00"), (10**30, str(10**30))):
        found = SessionList([SessionEntry("s-1", "First", given)])
        assert shown in seen(ink.sessions(found, 80))


def test_what_cannot_be_drawn_as_markdown_is_drawn_as_text() -> None:
    class Failing(Ink):
        """What it is when the library gives up on a text."""

        def rows(self, shown: RenderableType, width: int) -> list[Row]:
            if not isinstance(shown, Text):
                raise TypeError("a text it cannot take")
            return super().rows(shown, width)

    assert seen(Failing().markdown("**so**", 40)) == "**so**"
