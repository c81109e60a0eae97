"""The list of conversations, and one conversation in several tabs."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat, named_prompt
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Gate, Play, words
from tests.end_to_end.processes import Server, Sim, wait_until


@pytest.fixture
def three(played: PlayedServer, open_chat: OpenChat) -> ChatPage:
    """A page with three conversations from before."""
    for title in ["apples", "pears", "plums"]:
        played.keep(f"about-{title}", (f"Tell me of {title}", f"All about {title}."))
    chat = open_chat(played.url)
    expect(chat.nav.get_by_role("link", name="Tell me of")).to_have_count(3)
    return chat


def test_a_conversation_opens_from_the_list(three: ChatPage) -> None:
    three.nav.get_by_role("link", name="Tell me of pears").click()
    expect(three.answer()).to_contain_text("All about pears.")
    assert three.session_id == "about-pears"
    three.page.go_back()
    expect(three.answers).to_have_count(0)


def test_a_search_leaves_what_it_finds(three: ChatPage) -> None:
    three.nav.get_by_role("searchbox", name="Search conversations").fill("PLUM")
    expect(three.nav.get_by_role("link", name="Tell me of")).to_have_count(1)
    expect(three.nav.get_by_role("link", name="Tell me of plums")).to_be_visible()
    three.nav.get_by_role("searchbox", name="Search conversations").fill("")
    expect(three.nav.get_by_role("link", name="Tell me of")).to_have_count(3)


def test_a_new_name_is_kept_on_enter_and_forgotten_on_escape(
    three: ChatPage, played: PlayedServer
) -> None:
    for key, name in [("Escape", "Tell me of pears"), ("Enter", "Conference")]:
        three.nav.get_by_role("button", name="Rename Tell me of pears").click()
        box = three.nav.get_by_role("textbox", name="Title")
        expect(box).to_be_focused()
        box.fill("Conference")
        box.press(key)
        expect(three.nav.get_by_role("link", name=name)).to_be_visible()
    wait_until(lambda: played.titles["about-pears"] == "Conference")
    assert len(played.asked("PATCH", "/v1/sessions/")) == 1


def test_a_conversation_is_deleted_after_a_question(three: ChatPage, played: PlayedServer) -> None:
    dialog = three.page.get_by_role("dialog")
    for answer, count in [("Cancel", 3), ("Delete", 2)]:
        three.nav.get_by_role("button", name="Delete Tell me of pears").click()
        dialog.get_by_role("button", name=answer, exact=True).click()
        expect(dialog).to_be_hidden()
        expect(three.nav.get_by_role("link", name="Tell me of")).to_have_count(count)
    wait_until(lambda: set(played.titles) == {"about-apples", "about-plums"})


def test_deleting_the_open_conversation_ends_its_answer_and_opens_a_new_one(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["long"] = Play(["a ", Gate("never")])
    chat = open_chat(played.url)
    chat.ask("long")
    expect(chat.answer()).to_contain_text("a")
    (answer,) = played.answers
    chat.nav.get_by_role("button", name="Delete long").click()
    chat.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(chat.answers).to_have_count(0)
    expect(chat.nav.get_by_role("link", name="long")).to_have_count(0)
    wait_until(lambda: answer.is_over)


def test_a_double_click_on_delete_asks_nothing_of_what_appears_below(
    three: ChatPage, played: PlayedServer
) -> None:
    three.page.set_viewport_size({"width": 1200, "height": 800})
    three.nav.get_by_role("button", name="New chat").click()
    three.nav.get_by_role("button", name="Delete Tell me of pears").click()
    delete = three.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True)
    box = delete.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    delete.dblclick()
    expect(three.nav.get_by_role("link", name="Tell me of pears")).to_have_count(0)
    below = "([x, y]) => document.elementFromPoint(x, y).closest('.example') !== null"
    assert three.page.evaluate(below, [x, y]), "an example is where the second click went"
    assert all(answer.prompt.startswith("Tell me of") for answer in played.answers)
    three.page.mouse.click(x, y)
    expect(three.answers).to_have_count(1)


def test_answers_go_on_in_conversations_that_are_not_open_and_the_list_says_so(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["one"] = Play(["a ", Gate("one"), "b"])
    chat = open_chat(played.url)
    chat.ask("one")
    expect(chat.answer()).to_contain_text("a")
    link = chat.nav.get_by_role("link", name="one")
    expect(link).to_contain_text("answering")
    chat.nav.get_by_role("button", name="New chat").click()
    chat.expect_answer("two", "w39")
    assert chat.words() == words("two")
    played.open_gate("one")
    expect(link).not_to_contain_text("answering")
    link.click()
    expect(chat.prompts).to_contain_text(["one"])  # the address changes a moment after the click
    chat.expect_state("complete")
    assert chat.words() == ["a", "b"]


def test_the_title_is_the_document_s_too(three: ChatPage) -> None:
    three.nav.get_by_role("link", name="Tell me of pears").click()
    expect(three.answer()).to_be_visible()
    assert "Tell me of pears" in three.page.title()


def test_an_address_of_no_conversation_says_so_or_begins_one(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    chat = open_chat(played.url, "/#/c/nobody")
    chat.expect_answer("hello", "w39")
    assert chat.words() == words("hello")


def test_a_second_tab_s_prompt_takes_over_and_both_tabs_show_the_same(
    open_chat: OpenChat, server: Server, sim: Sim
) -> None:
    first = open_chat(server.url)
    first.expect_answer(named_prompt(sim, "hello", "&tokens=3"), "w2@hello")
    second = open_chat(server.url, f"/#/c/{first.session_id}", beside=first)
    expect(second.answer()).to_contain_text("w2@hello")
    first.ask(named_prompt(sim, "long", "&tokens=500"))
    expect(first.answer()).to_contain_text("w3@long")
    second.ask(named_prompt(sim, "other", "&tokens=100"))
    for tab in [first, second]:
        expect(tab.answer()).to_contain_text("w99@other")
        tab.expect_state("complete")
        expect(tab.answers).to_have_count(3)
        assert tab.words() == words("other", 100)
        tab.expect_state("interrupted", 1)
    assert first.words(1) == second.words(1)


def test_an_idle_tab_follows_an_answer_that_begins_in_another(
    open_chat: OpenChat, server: Server, sim: Sim
) -> None:
    first = open_chat(server.url)
    first.expect_answer(named_prompt(sim, "hello", "&tokens=3"), "w2@hello")
    second = open_chat(server.url, f"/#/c/{first.session_id}", beside=first)
    expect(second.answer()).to_contain_text("w2@hello")
    first.ask(named_prompt(sim, "long", "&tokens=5000"))
    expect(second.answer()).to_contain_text("w3@long")
    second.expect_state("streaming")
    second.stop.click()
    for tab in [first, second]:
        tab.expect_state("interrupted")
    had = second.words()
    assert had == first.words()[: len(had)], "the tab that stopped has read no further"
