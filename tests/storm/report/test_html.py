"""The report for people."""

from html.parser import HTMLParser

from jarvis_trio.storm.report import printable
from jarvis_trio.storm.report.html import write_html
from jarvis_trio.storm.trial import Row
from tests.storm.report.reports import HOSTILE, failed, passed, report, skipped

OPEN = {"meta", "br", "li", "th"}
"""Tags that need no end."""


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.said = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in OPEN:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def test_it_has_the_table_and_the_picture() -> None:
    page = Page(write_html(report(passed(), failed(), skipped())))
    assert page.tags.count("tr") == 4
    assert page.tags.count("svg") == 1
    for told in (
        "1 pass, 1 fail, 1 not applicable",
        "NOT: the model is freed (3 of 20 were answered)",
        "needs --sim",
        "7.3 / 15.5",
        "jarvis-trio 1.2.3",
        "50 sessions, 10 prompts, 50 ms apart, seed 0",
    ):
        assert told in page.said


def test_it_loads_nothing_and_runs_nothing() -> None:
    text = write_html(report(passed(), failed(HOSTILE), skipped()))
    page = Page(text)
    assert not set(page.tags) & {"script", "link", "img", "iframe", "a", "use", "object", "base"}
    assert not {name for name in page.attributes if name in {"href", "src"} or name[:2] == "on"}
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_what_a_server_says_is_text() -> None:
    hostile = passed()
    hostile.timeline = [Row(HOSTILE, HOSTILE, [(HOSTILE, 1.0)], [])]
    page = Page(write_html(report(failed(HOSTILE), hostile)))
    assert "script" not in page.tags
    assert page.said.count(printable(HOSTILE)) == 6
