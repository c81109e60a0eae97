"""Scrolling: the page follows the answer until its reader goes up, and never moves what is read."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Gate, Pause, Play, Step
from tests.browser.samples import paragraphs
from tests.end_to_end.processes import wait_until

GAP = "(box) => Math.round(box.scrollHeight - box.clientHeight - box.scrollTop)"
AT_THE_BOTTOM_PX = 2


def growing() -> list[Step]:
    """Return an answer that is three screens long, and waits in the middle and before its end."""
    steps: list[Step] = [paragraphs(0, 20), Gate("more")]
    for number in range(20, 40):
        steps += [paragraphs(number, 1), Pause(0.02)]
    return [*steps, Gate("end"), paragraphs(40, 1)]


@pytest.fixture
def chat(open_chat: OpenChat, played: PlayedServer) -> ChatPage:
    """A page that has had half of a long answer, and shows its end."""
    played.plays["long"] = Play(growing())
    chat = open_chat(played.url)
    chat.ask("long")
    expect(chat.answer()).to_contain_text("Paragraph 19:")
    expect_at_the_bottom(chat)
    return chat


def gap(chat: ChatPage) -> int:
    pixels: int = chat.conversation.evaluate(GAP)
    return pixels


def expect_at_the_bottom(chat: ChatPage) -> None:
    """See that the page follows: the button that leads there is not needed."""
    wait_until(lambda: gap(chat) <= AT_THE_BOTTOM_PX)
    expect(chat.jump).to_be_hidden()


def scroll_up(chat: ChatPage, pixels: int = 900) -> None:
    """Turn the wheel, as a reader does."""
    chat.conversation.hover()
    chat.page.mouse.wheel(0, -pixels)
    expect(chat.jump).to_be_visible()


def top_of(chat: ChatPage, text: str) -> float:
    box = chat.answer().get_by_text(text).bounding_box()
    assert box is not None
    return box["y"]


def test_the_page_follows_an_answer_to_its_end(chat: ChatPage, played: PlayedServer) -> None:
    played.open_gate("more")
    expect(chat.answer()).to_contain_text("Paragraph 39:")
    expect_at_the_bottom(chat)
    played.open_gate("end")
    chat.expect_state("complete")
    expect(chat.answer()).to_contain_text("Paragraph 40:")
    expect_at_the_bottom(chat)


def test_who_scrolls_up_reads_in_peace_also_when_the_answer_ends(
    chat: ChatPage, played: PlayedServer
) -> None:
    scroll_up(chat)
    before = top_of(chat, "Paragraph 14:")
    played.open_gate("more")
    expect(chat.answer()).to_contain_text("Paragraph 39:")
    assert top_of(chat, "Paragraph 14:") == pytest.approx(before, abs=1)
    played.open_gate("end")
    chat.expect_state("complete")
    assert top_of(chat, "Paragraph 14:") == pytest.approx(before, abs=1)
    expect(chat.jump).to_be_visible()


def test_the_button_jumps_to_the_latest_and_follows_again(
    chat: ChatPage, played: PlayedServer
) -> None:
    scroll_up(chat)
    chat.jump.click()
    expect_at_the_bottom(chat)
    played.open_gate("more")
    expect(chat.answer()).to_contain_text("Paragraph 39:")
    expect_at_the_bottom(chat)


def test_scrolling_down_to_the_end_follows_again(chat: ChatPage, played: PlayedServer) -> None:
    scroll_up(chat)
    chat.page.mouse.wheel(0, 5000)
    expect(chat.jump).to_be_hidden()
    played.open_gate("more")
    expect(chat.answer()).to_contain_text("Paragraph 39:")
    expect_at_the_bottom(chat)


def test_a_new_prompt_is_seen_from_wherever_it_is_sent(
    chat: ChatPage, played: PlayedServer
) -> None:
    scroll_up(chat)
    chat.ask("another")
    expect(chat.prompts.nth(1)).to_be_in_viewport()
    expect_at_the_bottom(chat)


def test_older_messages_come_above_without_moving_what_is_read(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    turns = [(f"prompt {n}", f"answer {n}\n\n{paragraphs(0, 2)}") for n in range(60)]
    played.keep("old", *turns)
    chat = open_chat(played.url, "/#/c/old")
    expect(chat.answers.nth(24)).to_contain_text("answer 59")
    expect(chat.answers).to_have_count(25)
    expect_at_the_bottom(chat)
    first = chat.prompts.filter(has_text="prompt 35")
    chat.conversation.hover()
    chat.page.mouse.wheel(0, -100_000)
    expect(chat.answers).to_have_count(50)
    expect(first).to_be_in_viewport()
    chat.page.mouse.wheel(0, -100_000)
    expect(chat.answers).to_have_count(60)
    expect(chat.page.get_by_role("button", name="older")).to_be_hidden()


def test_another_conversation_is_read_from_its_end(chat: ChatPage, played: PlayedServer) -> None:
    played.keep("old", ("Earlier", paragraphs(0, 30)))
    chat.page.goto(f"{played.url}/#/c/old")
    expect(chat.answer()).to_contain_text("Paragraph 29:")
    expect_at_the_bottom(chat)
