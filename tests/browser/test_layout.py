"""Widths from 320 px on, and colours by the system's wish."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Fails, Gate, Play
from tests.browser.samples import ADDRESS, LONG_WORD, RICH

TOO_WIDE = """() => {
  const scrolls = (element) => /auto|scroll|hidden/.test(getComputedStyle(element).overflowX);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    if (box.right <= innerWidth + 1) continue;
    let holder = element.parentElement;
    while (holder && !(scrolls(holder) && holder.getBoundingClientRect().right <= innerWidth + 1))
      holder = holder.parentElement;
    if (!holder) found.push(`${element.tagName}.${element.className} to ${box.right}`);
  }
  const { scrollWidth } = document.scrollingElement;
  if (scrollWidth > innerWidth) found.push(`the page: ${scrollWidth}`);
  return found;
}"""
SCROLLS_SIDEWAYS = """(box) => box.scrollWidth > box.clientWidth"""
TOO_SMALL = """() => [...document.querySelectorAll("button, a, select, input, textarea, summary")]
  .filter((element) => element.checkVisibility() && !element.closest(".markdown, [inert]"))
  .map((element) => [element, element.getBoundingClientRect()])
  .filter(([element, box]) => box.right > 0 && box.left < innerWidth)
  .filter(([element, box]) => box.width < 43.5 || box.height < 43.5)
  .map(([element, box]) => `${element.tagName} ${element.getAttribute("aria-label") ??
    element.textContent} ${box.width}x${box.height}`)"""
BRIGHTNESS = """() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number);
  return (r + g + b) / 765;
}"""


def narrow(width: int) -> dict[str, object]:
    return {"viewport": {"width": width, "height": 700}, "has_touch": True}


def fill(chat: ChatPage, played: PlayedServer) -> None:
    """Show all that may be too wide: an answer, a prompt, a failure."""
    played.plays["show all"] = Play([RICH])
    played.plays[LONG_WORD] = Play(["half", Fails("upstream_error", f"it said {ADDRESS}")])
    chat.composer.fill("show all")
    chat.send.click()
    chat.expect_state("complete")
    chat.composer.fill(LONG_WORD)
    chat.send.click()
    chat.expect_state("failed")


@pytest.mark.parametrize("width", [320, 360, 390, 768])
def test_nothing_makes_the_page_scroll_sideways(
    played: PlayedServer, open_chat: OpenChat, width: int
) -> None:
    chat = open_chat(played.url, **narrow(width))
    expect(chat.composer).to_be_visible()
    assert chat.page.evaluate(TOO_WIDE) == []
    fill(chat, played)
    assert chat.page.evaluate(TOO_WIDE) == []
    assert not chat.conversation.evaluate(SCROLLS_SIDEWAYS)
    table = chat.answer(0).get_by_role("group", name="Table")
    assert table.evaluate(SCROLLS_SIDEWAYS)


def test_on_a_phone_the_conversations_are_behind_a_button(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.keep("before", (LONG_WORD, "All of it."))
    chat = open_chat(played.url, **narrow(360), reduced_motion="reduce")
    link = chat.nav.get_by_role("link", name="Donau")
    button = chat.page.get_by_role("button", name="Conversations", exact=True)
    expect(link).to_be_hidden()
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(link).to_be_in_viewport()
    assert chat.page.evaluate(TOO_WIDE) == []
    link.click()
    expect(chat.answer()).to_contain_text("All of it.")
    expect(link).to_be_hidden()
    button.click()
    chat.page.keyboard.press("Escape")
    expect(link).to_be_hidden()


def test_on_a_phone_everything_is_large_enough_for_a_thumb(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    chat = open_chat(played.url, **narrow(360), is_mobile=True)
    fill(chat, played)
    assert chat.page.evaluate(TOO_SMALL) == []
    chat.page.get_by_role("button", name="Conversations", exact=True).click()
    expect(chat.nav.get_by_role("link", name="show all")).to_be_in_viewport()
    assert chat.page.evaluate(TOO_SMALL) == []


@pytest.mark.parametrize(("scheme", "is_bright"), [("light", True), ("dark", False)])
def test_the_page_is_as_dark_as_the_system(
    played: PlayedServer, open_chat: OpenChat, scheme: str, *, is_bright: bool
) -> None:
    chat = open_chat(played.url, color_scheme=scheme)
    expect(chat.composer).to_be_visible()
    assert (chat.page.evaluate(BRIGHTNESS) > 0.5) == is_bright


def test_on_paper_is_the_whole_conversation_and_nothing_to_press(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    chat = open_chat(played.url)
    fill(chat, played)
    chat.page.emulate_media(media="print")
    assert not chat.page.evaluate(TOO_WIDE)
    assert not chat.conversation.evaluate("(box) => box.scrollHeight > box.clientHeight")
    expect(chat.page.get_by_role("button")).to_have_count(0)
    expect(chat.nav).not_to_be_visible()
    expect(chat.composer).not_to_be_visible()


def test_the_dot_of_an_answer_is_there_with_forced_colours(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["long"] = Play(["a", Gate("never")])
    chat = open_chat(played.url, forced_colors="active", reduced_motion="reduce")
    chat.ask("long")
    chat.expect_state("streaming")
    dot = chat.nav.locator("[data-live]")
    seen, paper = (
        place.evaluate("(e, name) => getComputedStyle(e)[name]", name)
        for place, name in [
            (dot, "borderTopColor"),
            (chat.page.locator("body"), "backgroundColor"),
        ]
    )
    assert seen != paper
    assert dot.evaluate("(e) => parseFloat(getComputedStyle(e).borderTopWidth)") > 0
