"""The composer: keys, input methods, drafts and very much text."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Gate, Play

PRESS_ENTER = """(box, how) => box.dispatchEvent(
  new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...how }))"""
COMPOSE = "(box, name) => box.dispatchEvent(new CompositionEvent(name, { bubbles: true }))"
HUGE = "Thirty-two characters of a text. " * 32_768


@pytest.fixture
def chat(open_chat: OpenChat, played: PlayedServer) -> ChatPage:
    return open_chat(played.url)


def assert_nothing_was_sent(chat: ChatPage, played: PlayedServer) -> None:
    """A prompt appears in the page before anything else can happen."""
    expect(chat.prompts).to_have_count(0)
    assert not played.asked("POST", "/v1/chat/")


def test_enter_sends_and_empties_the_composer(chat: ChatPage) -> None:
    expect(chat.composer).to_be_focused()
    chat.page.keyboard.type("typed")
    chat.page.keyboard.press("Enter")
    expect(chat.prompts).to_contain_text("typed")
    expect(chat.composer).to_have_value("")
    expect(chat.composer).to_be_focused()


def test_shift_enter_is_a_new_line(chat: ChatPage, played: PlayedServer) -> None:
    chat.composer.press_sequentially("one")
    chat.composer.press("Shift+Enter")
    chat.composer.press_sequentially("two")
    expect(chat.composer).to_have_value("one\ntwo")
    assert_nothing_was_sent(chat, played)
    chat.send.click()
    chat.expect_state("complete")
    assert played.answers[0].prompt == "one\ntwo"


@pytest.mark.parametrize("text", ["", "   ", "\n\n"])
def test_nothing_is_not_sent(chat: ChatPage, played: PlayedServer, text: str) -> None:
    chat.composer.fill(text)
    chat.composer.press("Enter")
    assert_nothing_was_sent(chat, played)


@pytest.mark.parametrize("how", [{"isComposing": True}, {"keyCode": 229}])
def test_the_enter_of_an_input_method_sends_nothing(
    chat: ChatPage, played: PlayedServer, how: dict[str, object]
) -> None:
    chat.composer.fill("にほんご")
    chat.composer.evaluate(COMPOSE, "compositionstart")
    chat.composer.evaluate(PRESS_ENTER, how)
    expect(chat.composer).to_have_value("にほんご")
    assert_nothing_was_sent(chat, played)
    chat.composer.evaluate(COMPOSE, "compositionend")
    chat.composer.press("Enter")
    expect(chat.prompts).to_contain_text("にほんご")


def test_an_input_method_s_own_composition_is_left_alone(
    chat: ChatPage, played: PlayedServer
) -> None:
    chat.composer.focus()
    session = chat.page.context.new_cdp_session(chat.page)
    session.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
    session.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    session.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    assert_nothing_was_sent(chat, played)
    session.send("Input.insertText", {"text": "日"})
    expect(chat.composer).to_have_value("日")
    chat.page.keyboard.press("Enter")
    expect(chat.prompts).to_contain_text("日")


def test_enter_sends_also_while_an_answer_is_given(chat: ChatPage, played: PlayedServer) -> None:
    played.plays["long"] = Play(["a ", Gate("never")])
    chat.ask("long")
    expect(chat.answer()).to_contain_text("a")
    expect(chat.send).to_be_visible()
    expect(chat.stop).to_be_visible()
    chat.expect_answer("short", "w39")


def test_each_conversation_keeps_its_draft(chat: ChatPage, played: PlayedServer) -> None:
    played.keep("before", ("Earlier", "All of it."))
    chat.page.reload()
    chat.composer.fill("a new one's")
    chat.nav.get_by_role("link", name="Earlier").click()
    expect(chat.answer()).to_be_visible()
    expect(chat.composer).to_have_value("")
    chat.composer.fill("the earlier one's")
    chat.nav.get_by_role("button", name="New chat").click()
    expect(chat.composer).to_have_value("a new one's")
    chat.nav.get_by_role("link", name="Earlier").click()
    expect(chat.composer).to_have_value("the earlier one's")


def test_a_megabyte_can_be_pasted_and_sent(chat: ChatPage, played: PlayedServer) -> None:
    assert len(HUGE) > 1_000_000
    played.other_play = Play(["read it"])
    chat.composer.focus()
    chat.page.keyboard.insert_text(HUGE)
    chat.composer.press("Enter")
    chat.expect_state("complete")
    expect(chat.answer()).to_contain_text("read it")
    assert len(played.answers[0].prompt.strip()) == len(HUGE.strip())
    expect(chat.composer).to_have_value("")
    box = chat.composer.bounding_box()
    assert box is not None
    assert box["height"] < 100


def test_what_is_typed_while_the_first_answer_begins_stays(
    chat: ChatPage, played: PlayedServer
) -> None:
    played.plays["first"] = Play(["a ", Gate("never")], headers_wait_for=Gate("headers"))
    chat.ask("first")
    chat.composer.fill("second")
    played.open_gate("headers")
    expect(chat.answer()).to_contain_text("a")
    expect(chat.page).to_have_url(f"{played.url}/#/c/{played.answers[0].session}")
    expect(chat.composer).to_have_value("second")
    chat.composer.press("Enter")
    expect(chat.prompts).to_have_count(2)
