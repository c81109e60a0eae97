"""axe finds nothing, in any state of the page, light or dark; what is announced is little."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat, named_prompt
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Fails, Gate, Play, Thinks
from tests.browser.samples import RICH
from tests.end_to_end.processes import ROOT, Sim

AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
FIND = """async () => (await axe.run()).violations.map(({ id, help, nodes }) =>
  `${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 120)).join(" and ")}`)"""
KEEP_ANNOUNCEMENTS = """{
  window.announced = [];
  new MutationObserver(() => {
    const said = document.querySelector('[role="status"]')?.textContent.trim();
    if (said && said !== window.announced.at(-1)) window.announced.push(said);
  }).observe(document, { subtree: true, childList: true, characterData: true });
}"""


def show_empty(chat: ChatPage, played: PlayedServer) -> None:
    expect(chat.composer).to_be_visible()


def show_chat(chat: ChatPage, played: PlayedServer) -> None:
    played.plays["fail"] = Play(["half", Fails("upstream_error", "it failed")])
    played.plays["rich"] = Play([Thinks("Well. "), RICH, Gate("never")])
    chat.ask("fail")
    chat.expect_state("failed")
    chat.ask("rich")
    expect(chat.answer()).to_contain_text("The end.")


def show_dialog(chat: ChatPage, played: PlayedServer) -> None:
    chat.expect_answer("hello", "w39")
    chat.nav.get_by_role("button", name="Delete hello").click()
    expect(chat.page.get_by_role("dialog")).to_be_visible()


def show_editing(chat: ChatPage, played: PlayedServer) -> None:
    chat.expect_answer("hello", "w39")
    chat.nav.get_by_role("button", name="Rename hello").click()
    expect(chat.nav.get_by_role("textbox", name="Title")).to_be_visible()
    chat.prompts.get_by_role("button", name="Edit").click()


def show_sign_in(chat: ChatPage, played: PlayedServer) -> None:
    played.lock("the key")
    chat.page.reload()
    expect(chat.page.get_by_role("heading", name="Sign in")).to_be_visible()


SHOWS: dict[str, Callable[[ChatPage, PlayedServer], None]] = {
    "empty": show_empty,
    "chat": show_chat,
    "dialog": show_dialog,
    "editing": show_editing,
    "sign-in": show_sign_in,
}


def findings(chat: ChatPage) -> Any:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (npm ci in ui/): accessibility is NOT tested")
    chat.page.add_script_tag(path=AXE)
    return chat.page.evaluate(FIND)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("show", SHOWS)
def test_axe_finds_nothing(
    played: PlayedServer, open_chat: OpenChat, show: str, scheme: str
) -> None:
    chat = open_chat(played.url, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    SHOWS[show](chat, played)
    assert findings(chat) == []


def test_axe_finds_nothing_on_a_phone_with_its_list_open(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    options: dict[str, Any] = {"viewport": {"width": 360, "height": 700}, "bypass_csp": True}
    chat = open_chat(played.url, reduced_motion="reduce", **options)
    chat.page.get_by_role("button", name="Conversations", exact=True).click()
    assert findings(chat) == []


def test_a_screen_reader_hears_when_an_answer_begins_and_ends_and_nothing_between(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    chat = open_chat(played.url, scripts=(KEEP_ANNOUNCEMENTS,))
    expect(chat.status).to_have_count(1)
    expect(chat.page.get_by_role("main")).to_have_count(1)
    expect(chat.conversation).to_have_attribute("aria-live", "off")
    expect(chat.page.get_by_role("alert")).to_have_count(0)
    chat.expect_answer("hello", "w39")
    announced: list[str] = chat.page.evaluate("() => window.announced")
    assert 1 <= len(announced) <= 2, announced
    assert "w1" not in " ".join(announced)


def test_a_deletion_can_be_done_and_left_by_the_keyboard_alone(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.keep("before", ("Earlier", "All of it."))
    chat = open_chat(played.url)
    opener = chat.nav.get_by_role("button", name="Delete Earlier")
    opener.focus()
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("dialog")).to_be_visible()
    chat.page.keyboard.press("Escape")
    expect(chat.page.get_by_role("dialog")).to_be_hidden()
    expect(opener).to_be_focused()


def test_a_prompt_is_edited_left_and_tried_again_by_the_keyboard_alone(
    chat: ChatPage, sim: Sim
) -> None:
    chat.expect_answer(named_prompt(sim, "hello", "&tokens=3"), "w2@hello")
    edit = chat.prompts.first.get_by_role("button", name="Edit")
    for key, then in [("Escape", edit), ("Enter", chat.composer)]:
        edit.focus()
        chat.page.keyboard.press("Enter")
        expect(chat.page.get_by_role("textbox", name="Edited prompt")).to_be_focused()
        chat.page.keyboard.press(key)
        expect(then).to_be_focused()
    chat.expect_state("complete")
    chat.answer().get_by_role("button", name="Retry").focus()
    chat.page.keyboard.press("Enter")
    expect(chat.composer).to_be_focused()
    chat.expect_state("complete")
