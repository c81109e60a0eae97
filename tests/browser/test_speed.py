"""A long answer leaves the page free, and the page itself is small.

Tasks are measured by the CPU time of the page's thread: what else the machine does makes a task
take longer, and is none of the page's. Chromium's trace tells that; its "longtask" entries do not.
"""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import OpenChat
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Play, in_pieces
from tests.browser.samples import long_text
from tests.end_to_end.processes import Server

CHARACTERS = 48_000
UPDATES = 400
LONGEST_TASK_MS = 100
MOST_SCRIPT_BYTES = 140_000
READ_WITHIN_MS = 60_000


def tasks_in_ms(trace: bytes) -> list[float]:
    """Return the CPU time of each task of the pages' own threads."""
    events = json.loads(trace)["traceEvents"]
    of_pages = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "ThreadControllerImpl::RunTask"
        and (event["pid"], event["tid"]) in of_pages
        and "tdur" in event
    ]


@pytest.mark.alone  # a core that is shared takes more of its time for the same task
def test_an_answer_of_48000_characters_makes_no_task_of_over_100_ms(
    played: PlayedServer, open_chat: OpenChat, browser: Browser
) -> None:
    steps = in_pieces(long_text(CHARACTERS), CHARACTERS // UPDATES, 0.01)
    played.plays["long"] = Play([*steps, "\n\nTHE END"])
    chat = open_chat(played.url)
    expect(chat.composer).to_be_visible()
    browser.start_tracing(page=chat.page, categories=["toplevel"])
    try:
        chat.ask("long")
        expect(chat.answer()).to_contain_text("THE END", timeout=READ_WITHIN_MS)
        chat.expect_state("complete")
    finally:
        tasks = tasks_in_ms(browser.stop_tracing())
    assert len(tasks) > UPDATES, "there are no tasks in the trace"
    assert max(tasks) <= LONGEST_TASK_MS, sorted(tasks)[-10:]


class Scripts:
    """The scripts that a page loads, and how many bytes of each came over the wire."""

    def __init__(self) -> None:
        self.sizes: dict[str, float] = {}
        self._urls: dict[str, str] = {}

    def watch(self, page: Page) -> None:
        session = page.context.new_cdp_session(page)
        session.on("Network.responseReceived", self._on_response)
        session.on("Network.loadingFinished", self._on_finished)
        session.send("Network.enable")

    def _on_response(self, event: dict[str, Any]) -> None:
        if event["type"] == "Script":
            self._urls[event["requestId"]] = event["response"]["url"]

    def _on_finished(self, event: dict[str, Any]) -> None:
        if url := self._urls.get(event["requestId"]):
            self.sizes[url] = event["encodedDataLength"]


def test_the_page_begins_with_at_most_140_kb_of_script(open_chat: OpenChat, server: Server) -> None:
    scripts = Scripts()
    chat = open_chat(server.url, before=scripts.watch)
    expect(chat.composer).to_be_visible()
    assert scripts.sizes
    assert sum(scripts.sizes.values()) <= MOST_SCRIPT_BYTES, scripts.sizes
