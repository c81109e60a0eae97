"""Stop: it stops at the page at once, at the model for sure, and says what was seen of it."""

import re

from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat, named_prompt
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Gate, Play
from tests.browser.scripts import IGNORES_ABORTS_AND_IS_LATE, NOTES_CALLS
from tests.end_to_end.processes import Server, Sim, fetch, wait_until

RECEIPT = re.compile(r"[Ss]topped in \d+(\.\d+)? ms, model idle")


def test_a_stop_frees_the_model_and_shows_its_receipt(
    chat: ChatPage, server: Server, sim: Sim
) -> None:
    chat.ask(named_prompt(sim, "stopped", "&tokens=5000"))
    expect(chat.answer()).to_contain_text("w3@")
    chat.stop.click()
    chat.expect_state("interrupted")
    fetch(f"{sim.url}/sim/wait?marker=stopped&kind=closed").raise_for_status()
    expect(chat.answer().locator("[data-note]")).to_contain_text("topped in")
    expect(chat.stop).to_be_hidden()
    expect(chat.composer).to_be_focused()
    server.wait_until_idle()
    chat.assert_no_ended_answer_changed()


def test_a_receipt_tells_how_long_it_took_and_that_the_model_is_idle(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["long"] = Play(["a ", Gate("never")])
    chat = open_chat(played.url)
    chat.ask("long")
    expect(chat.answer()).to_contain_text("a")
    chat.stop.click()
    expect(chat.answer().locator("[data-note]")).to_have_text(RECEIPT)


def test_a_stop_aborts_first_and_then_names_its_stream(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["long"] = Play(["a ", Gate("never")])
    chat = open_chat(played.url, scripts=(NOTES_CALLS,))
    chat.ask("long")
    expect(chat.answer()).to_contain_text("a")
    chat.stop.click()
    expect(chat.answer().locator("[data-note]")).to_be_visible()
    calls: list[str] = chat.page.evaluate("() => window.calls")
    (cancel,) = [call for call in calls if call.endswith("/cancel")]
    assert calls.index("abort POST /v1/chat/completions") < calls.index(cancel)
    (answer,) = played.answers
    (request,) = [r for r in played.requests if r.path.endswith("/cancel")]
    assert answer.stream_id in request.path or request.json["stream_id"] == answer.stream_id


def test_a_stop_gets_through_when_answers_hold_all_six_connections(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["long"] = Play(["a ", Gate("never")])
    tabs = [open_chat(played.url)]
    tabs.append(open_chat(played.url, beside=tabs[0]))
    for tab in tabs:
        for number in range(3):
            if number:
                tab.nav.get_by_role("button", name="New chat").click()
            tab.ask("long")
            expect(tab.answer()).to_contain_text("a")
    tabs[0].stop.click()
    expect(tabs[0].answer().locator("[data-note]")).to_have_text(RECEIPT)
    stopped = [answer for answer in played.answers if answer.cause == "stopped"]
    assert stopped == [played.answers[2]]


def test_a_stop_before_the_first_word_stops_that_answer(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["slow"] = Play([Gate("never"), "a"], headers_wait_for=Gate("headers"))
    chat = open_chat(played.url)
    chat.ask("slow")
    chat.stop.click()
    played.open_gate("headers")
    chat.expect_state("interrupted")
    wait_until(lambda: [answer.cause for answer in played.answers] == ["stopped"])
    assert chat.prose() == ""


def test_what_comes_after_a_stop_is_not_shown(played: PlayedServer, open_chat: OpenChat) -> None:
    played.plays["long"] = Play(["a ", Gate("late"), "b "])
    chat = open_chat(played.url, scripts=(IGNORES_ABORTS_AND_IS_LATE,))
    chat.ask("long")
    expect(chat.answer()).to_contain_text("a")
    played.ignores_stops = True
    chat.stop.click()
    chat.expect_state("interrupted")
    played.open_gate("late")
    wait_until(lambda: not chat.page.evaluate("() => window.late"))
    assert chat.words() == ["a"]
    chat.assert_no_ended_answer_changed()


def test_escape_stops(played: PlayedServer, open_chat: OpenChat) -> None:
    played.plays["long"] = Play(["a ", Gate("never")])
    chat = open_chat(played.url)
    chat.ask("long")
    expect(chat.answer()).to_contain_text("a")
    chat.composer.press("Escape")
    chat.expect_state("interrupted")
    wait_until(lambda: played.answers[0].cause == "stopped")


def test_a_double_click_and_a_held_key_stop_one_answer(chat: ChatPage, sim: Sim) -> None:
    chat.policy.select_option(label="Queue")
    for name in ("one", "two", "three"):
        chat.ask(named_prompt(sim, name, "&tokens=5000"))
        chat.expect_state("queued" if name != "one" else "streaming")
    chat.stop.dblclick()
    expect(chat.answer(1)).to_contain_text("w3@two")
    chat.page.keyboard.down("Escape")
    chat.expect_state("interrupted", 1)
    chat.page.keyboard.down("Escape")  # the same press, held
    expect(chat.answer(2)).to_contain_text("w3@three")
    chat.page.keyboard.up("Escape")
    chat.composer.press("Escape")
    chat.expect_state("interrupted", 2)


def test_escape_without_an_answer_keeps_the_draft(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    chat = open_chat(played.url)
    chat.composer.fill("half a thought")
    chat.composer.press("Escape")
    expect(chat.composer).to_have_value("half a thought")
