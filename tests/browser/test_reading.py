"""What an answer offers to its reader: reasoning, code, copies; also over plain http."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.chromium import INSECURE_NAME
from tests.browser.conftest import OpenChat
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Gate, Play, Thinks, in_pieces, words
from tests.browser.samples import CODE, LONG_LINE, RICH
from tests.browser.scripts import NOTES_COPIES
from tests.end_to_end.processes import wait_until

CODE_TEXT = CODE.removeprefix("```python\n").removesuffix("\n```")


@pytest.fixture(params=["127.0.0.1", INSECURE_NAME])
def chat(request: pytest.FixtureRequest, played: PlayedServer, open_chat: OpenChat) -> ChatPage:
    """The page, also over plain http, where a browser gives no clipboard and no random UUIDs."""
    url = played.url.replace("127.0.0.1", request.param)
    is_secure = request.param != INSECURE_NAME
    permissions = ["clipboard-read", "clipboard-write"] if is_secure else []
    chat = open_chat(url, permissions=permissions, scripts=(NOTES_COPIES,))
    assert chat.page.evaluate("() => window.isSecureContext") == is_secure
    chat.composer.fill("the clipboard is the whole browser's")
    chat.composer.press("Control+a")
    chat.composer.press("Control+c")
    return chat


def assert_copies(chat: ChatPage, button: str, text: str) -> None:
    chat.answer().get_by_role("button", name=button).click()
    wait_until(lambda: chat.page.evaluate("() => window.copies"))
    chat.composer.fill("")
    chat.composer.press("Control+v")
    expect(chat.composer).to_have_value(text)


def test_code_is_copied_without_its_fence(chat: ChatPage, played: PlayedServer) -> None:
    played.plays["code"] = Play(in_pieces(RICH, 7))
    chat.expect_answer("code", "The end.")
    expect(chat.answer().locator("pre")).to_contain_text(LONG_LINE)
    assert_copies(chat, "Copy code", CODE_TEXT)


def test_an_answer_is_copied_as_it_was_written(chat: ChatPage, played: PlayedServer) -> None:
    played.plays["code"] = Play([RICH])
    chat.expect_answer("code", "The end.")
    assert_copies(chat, "Copy answer", RICH)


def test_code_is_highlighted_when_it_has_come(played: PlayedServer, open_chat: OpenChat) -> None:
    played.plays["code"] = Play(in_pieces(CODE, 11))
    chat = open_chat(played.url)
    chat.expect_answer("code", "numbers the words")
    expect(chat.answer().locator("pre [class*=hljs-]").first).to_be_visible()


def test_reasoning_is_folded_until_it_is_asked_for(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["think"] = Play([Thinks("Let me **see**. "), Gate("thought"), "Four."])
    chat = open_chat(played.url)
    chat.ask("think")
    reasoning = chat.answer().get_by_text("Let me see.")
    expect(reasoning).to_be_hidden()
    chat.answer().get_by_text("Reasoning", exact=True).click()
    expect(reasoning).to_be_visible()
    played.open_gate("thought")
    chat.expect_state("complete")
    assert chat.words() == ["Four."]
    expect(reasoning).to_be_visible()
    chat.page.reload()
    expect(chat.answer()).to_contain_text("Four.")
    expect(chat.answer().get_by_text("Let me see.")).to_be_hidden()


def test_the_whole_page_works_over_plain_http(played: PlayedServer, open_chat: OpenChat) -> None:
    chat = open_chat(played.url.replace("127.0.0.1", INSECURE_NAME))
    chat.expect_answer("hello", "w39")
    assert chat.words() == words("hello")


def test_links_open_beside_the_chat_and_say_nothing_of_it(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["link"] = Play(["See [this](https://example.com/page)."])
    chat = open_chat(played.url)
    chat.expect_answer("link", "this")
    link = chat.answer().get_by_role("link", name="this")
    expect(link).to_have_attribute("href", "https://example.com/page")
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
