"""The operations view: what lives, what was counted, and a Stop for each answer."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat, named_prompt
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Foreign, Pause, Play
from tests.browser.test_accessibility import findings
from tests.browser.test_layout import TOO_WIDE, narrow
from tests.end_to_end.processes import KEY, NOBODY, Server, Sim, fetch


@pytest.fixture
def answering(chat: ChatPage, server: Server, sim: Sim) -> Iterator[ChatPage]:
    """A page with a long answer under way, which is stopped: it would outlive its page."""
    chat.ask(named_prompt(sim, "watched", "&tokens=5000"))
    expect(chat.answer()).to_contain_text("w3@")
    yield chat
    cancel = f"{server.url}/v1/sessions/{chat.session_id}/cancel"
    httpx.post(cancel, headers=KEY, timeout=10, trust_env=False, verify=NOBODY).raise_for_status()


@pytest.fixture
def operations(answering: ChatPage, open_chat: OpenChat, server: Server) -> ChatPage:
    """The operations view in a second tab."""
    return open_chat(server.url, "/#/ops", beside=answering)


def test_the_view_is_a_link_away_and_leads_back(chat: ChatPage) -> None:
    chat.nav.get_by_role("link", name="Operations").click()
    expect(chat.page.get_by_role("heading", name="Operations")).to_be_visible()
    for name in ["Cancel latency", "Over time", "Tasks"]:
        expect(chat.page.get_by_role("region", name=name)).to_be_visible()
    chat.page.get_by_role("link", name="Chat").click()
    expect(chat.composer).to_be_visible()


def test_a_live_answer_is_seen_and_can_be_stopped_at_the_model(
    operations: ChatPage, answering: ChatPage, sim: Sim
) -> None:
    stream_id = answering.answer().get_attribute("data-stream-id")
    table = operations.page.get_by_role("table", name="Live streams")
    row = table.get_by_role("row").filter(has_text=answering.session_id[:8])
    expect(row).to_contain_text("decode")
    row.get_by_role("button", name=f"Stop {stream_id}").click()
    fetch(f"{sim.url}/sim/wait?marker=watched&kind=closed").raise_for_status()
    expect(row.get_by_role("button")).to_have_text("Ended")
    operations.page.mouse.move(0, 0)  # under a pointer, no row moves away
    expect(row).to_have_count(0)
    answering.expect_state("interrupted")


def test_the_frames_that_the_page_refused_are_counted(
    played: PlayedServer, open_chat: OpenChat, server: Server
) -> None:
    played.overview = fetch(f"{server.url}/v1/ops", KEY).json()
    played.plays["strangers"] = Play(
        ["a ", Foreign("intruder "), Pause(0.1), Foreign("again "), "b"]
    )
    played.plays["twice"] = Play(["a ", "b ", "c ", "d"], cut_after=4, cut_is_clean=True, repeats=3)
    chat = open_chat(played.url)
    chat.expect_answer("strangers", "b")
    chat.expect_answer("twice", "d")
    assert chat.words() == ["a", "b", "c", "d"]
    chat.nav.get_by_role("link", name="Operations").click()
    counters = chat.page.get_by_role("region", name="Counters").locator("div")
    expect(counters.filter(has_text="Of another answer")).to_contain_text("2")
    expect(counters.filter(has_text="Seen before")).to_contain_text("3")
    expect(counters.filter(has_text="Of an answer that was over")).to_contain_text("0")


def test_the_view_holds_no_stream_and_polls_once_a_second(operations: ChatPage) -> None:
    expect(operations.page.get_by_role("table", name="Live streams")).to_be_visible()
    with operations.page.expect_request("**/v1/ops*"), operations.page.expect_request("**/v1/ops*"):
        pass
    polls = [r for r in operations.watch.requests if "/v1/ops" in r.url]
    assert all(poll.resource_type == "fetch" for poll in polls)
    of_ops = [r for r in operations.watch.requests if r.frame.page == operations.page]
    assert not [r for r in of_ops if "/v1/streams" in r.url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    answering: ChatPage, open_chat: OpenChat, server: Server, scheme: str
) -> None:
    operations = open_chat(server.url, "/#/ops", bypass_csp=True, color_scheme=scheme)
    expect(operations.page.get_by_role("button", name="Stop str_").first).to_be_visible()
    assert findings(operations) == []


@pytest.mark.parametrize("width", [320, 390])
def test_the_view_fits_a_phone(
    answering: ChatPage, open_chat: OpenChat, server: Server, width: int
) -> None:
    operations = open_chat(server.url, "/#/ops", **narrow(width))
    expect(operations.page.get_by_role("table", name="Live streams")).to_be_visible()
    assert operations.page.evaluate(TOO_WIDE) == []
