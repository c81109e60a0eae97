"""Sending: amid an answer under each policy, again, and in the place of an earlier prompt."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat, named_prompt
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Fails, Gate, Play, words
from tests.end_to_end.processes import Sim

REFUSALS = {
    400: "invalid_request",
    404: "model_not_found",
    413: "body_too_large",
    429: "queue_full",
    500: "internal_error",
    502: "upstream_error",
    503: "overloaded",
    504: "upstream_timeout",
}


def ask_two(chat: ChatPage, sim: Sim, tokens: int = 50) -> None:
    """Ask for a second answer while the first is given, by itself for five seconds."""
    chat.ask(named_prompt(sim, "first", f"&tokens={tokens}&tps=10"))
    expect(chat.answer()).to_contain_text("w3@first")
    chat.ask(named_prompt(sim, "second", "&tokens=20"))
    expect(chat.prompts).to_have_count(2)


def test_by_itself_a_new_prompt_takes_over(chat: ChatPage, sim: Sim) -> None:
    ask_two(chat, sim)
    chat.expect_state("interrupted", 0)
    chat.expect_state("complete", 1)
    assert chat.words(1) == words("second", 20)


def test_a_prompt_that_takes_over_and_forgets_leaves_only_itself(chat: ChatPage, sim: Sim) -> None:
    chat.policy.select_option(label="Take over and forget")
    chat.ask(named_prompt(sim, "first", "&tokens=5000"))
    expect(chat.answer()).to_contain_text("w3@first")
    chat.ask(named_prompt(sim, "second", "&tokens=20"))
    expect(chat.answer()).to_contain_text("w19@second")
    chat.expect_state("complete")
    chat.page.reload()
    expect(chat.answers).to_have_count(1)
    assert chat.words() == words("second", 20)


def test_a_prompt_may_wait_for_the_answer_before_it(chat: ChatPage, sim: Sim) -> None:
    chat.policy.select_option(label="Queue")
    ask_two(chat, sim)
    chat.expect_state("queued", 1)
    chat.expect_state("complete", 0)
    chat.expect_state("complete", 1)
    assert chat.words(0) == words("first", 50)
    assert chat.words(1) == words("second", 20)


def test_a_prompt_that_waits_is_there_after_a_reload(chat: ChatPage, sim: Sim) -> None:
    chat.policy.select_option(label="Queue")
    ask_two(chat, sim, tokens=10_000)
    chat.expect_state("queued", 1)
    asked = chat.prompts.all_inner_texts()
    chat.page.reload()
    chat.expect_state("queued", 1)
    assert chat.prompts.all_inner_texts() == asked
    chat.stop.click()
    chat.expect_state("complete", 1)
    assert chat.prompts.all_inner_texts() == asked
    assert chat.words(1) == words("second", 20)


def test_a_prompt_may_be_refused_for_the_answer_before_it(chat: ChatPage, sim: Sim) -> None:
    chat.policy.select_option(label="Refuse")
    ask_two(chat, sim)
    chat.expect_state("failed", 1)
    expect(chat.answer(1).locator("[data-trouble]")).to_be_visible()
    chat.expect_state("complete", 0)
    assert chat.words(0) == words("first", 50)


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_is_a_sentence_and_retry_asks_again_where_that_may_help(
    played: PlayedServer, open_chat: OpenChat, status: int
) -> None:
    played.plays["again"] = Play(status=status, code=REFUSALS[status], message="not now")
    chat = open_chat(played.url)
    chat.ask("again")
    chat.expect_state("failed")
    trouble = chat.answer().locator("[data-trouble]")
    expect(trouble).to_contain_text(" ")
    expect(trouble).not_to_contain_text(REFUSALS[status])
    assert len(played.asked("POST", "/v1/chat/")) == 1, "a prompt was sent again by itself"
    retry = chat.answer().get_by_role("button", name="Retry")
    if status < 429:
        expect(retry).to_be_hidden()
    else:
        played.plays["again"] = Play(["now"])
        retry.click()
        chat.expect_state("complete")
        assert chat.words() == ["now"]
        expect(chat.prompts).to_have_count(1)


def test_an_error_amid_an_answer_keeps_the_words_and_offers_to_try_again(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["again"] = Play(["half ", Fails("upstream_eof", "it broke off")])
    chat = open_chat(played.url)
    chat.ask("again")
    chat.expect_state("failed")
    expect(chat.answer().locator("[data-trouble]")).to_be_visible()
    assert chat.words() == ["half"]
    played.plays["again"] = Play(["whole"])
    chat.answer().get_by_role("button", name="Retry").click()
    chat.expect_state("complete")
    assert chat.words() == ["whole"]


def test_a_stopped_prompt_that_is_tried_again_takes_its_own_place(chat: ChatPage, sim: Sim) -> None:
    chat.ask(named_prompt(sim, "again", "&tokens=500"))
    expect(chat.answer()).to_contain_text("w3@again")
    chat.stop.click()
    chat.expect_state("interrupted")
    named_prompt(sim, "again", "&tokens=20")
    chat.answer().get_by_role("button", name="Retry").click()
    chat.expect_state("complete")
    assert chat.words() == words("again", 20)
    chat.page.reload()
    chat.expect_state("complete")
    expect(chat.answers).to_have_count(1)
    expect(chat.prompts).to_have_count(1)


def test_an_edited_prompt_takes_the_place_of_it_and_all_behind_it(chat: ChatPage, sim: Sim) -> None:
    for name in ["first", "second", "third"]:
        chat.expect_answer(named_prompt(sim, name, "&tokens=5&tps=0"), f"w4@{name}")
    prompt = chat.prompts.nth(1)
    prompt.get_by_role("button", name="Edit").click()
    editor = chat.prompts.nth(1).get_by_role("textbox")
    expect(editor).to_have_value("marker:second")
    editor.fill(named_prompt(sim, "other", "&tokens=5"))
    editor.press("Enter")
    expect(chat.answers).to_have_count(2)
    chat.expect_state("complete")
    for _ in range(2):
        assert [chat.words(0), chat.words(1)] == [words("first", 5), words("other", 5)]
        chat.page.reload()
        expect(chat.answers).to_have_count(2)


def test_a_prompt_that_never_got_an_answer_is_not_sent_again_by_itself(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["lost"] = Play(status=0)
    chat = open_chat(played.url)
    chat.ask("lost")
    chat.expect_state("failed")
    expect(chat.answer().get_by_role("button", name="Retry")).to_be_visible()
    assert len(played.asked("POST", "/v1/chat/")) == 1


def test_a_fifth_answer_at_once_is_refused_with_a_sentence(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["long"] = Play(["a ", Gate("never")])
    chat = open_chat(played.url)
    for _ in range(4):
        chat.ask("long")
        expect(chat.answer()).to_contain_text("a")
        chat.nav.get_by_role("button", name="New chat").click()
        expect(chat.answers).to_have_count(0)
    chat.composer.fill("long")
    chat.composer.press("Enter")
    expect(chat.page.locator("[data-trouble]")).to_be_visible()
    assert len(played.answers) == 4


def test_the_model_that_is_chosen_is_asked(played: PlayedServer, open_chat: OpenChat) -> None:
    chat = open_chat(played.url)
    chat.expect_answer("first", "w39")
    chat.model.select_option(label="other")
    chat.expect_answer("second", "w39")
    asked = [request.json.get("model") for request in played.asked("POST", "/v1/chat/")]
    assert asked == [None, "other"]
