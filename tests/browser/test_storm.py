"""Five quick prompts: the last answer is its own, whatever the server and the network do.

A page without any guard passes this while the server supersedes and aborts are heard. So it is
played before a server that lets old answers run on, and over a ``fetch`` that ignores aborts and
delivers late.
"""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat, PlayServer, named_prompt
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Foreign, Pause, Play, numbered, words
from tests.browser.scripts import IGNORES_ABORTS_AND_IS_LATE, NOTES_CALLS
from tests.end_to_end.processes import Server, Sim, wait_until

NAMES = ["one", "two", "three", "four", "five"]
NETWORKS = {"a network that obeys": (), "a late network": (IGNORES_ABORTS_AND_IS_LATE,)}


def rapid_prompts(chat: ChatPage, prompts: list[str]) -> None:
    """Ask, the second and the fourth before there is a word of the answer before."""
    for number, prompt in enumerate(prompts):
        chat.ask(prompt)
        expect(chat.prompts).to_have_count(number + 1)
        if number % 2 == 0:
            expect(chat.answer()).to_contain_text("w1@")


def assert_each_answer_is_its_own(chat: ChatPage, kept: list[str]) -> None:
    """Each answer has nothing but the beginning of what the history keeps, the last all of it."""
    assert chat.prose() == kept[-1].strip()
    for number, text in enumerate(kept):
        assert text.startswith(chat.prose(number)), text
    chat.assert_no_ended_answer_changed()


@pytest.mark.parametrize("supersedes", [True, False], ids=["supersedes", "runs on"])
@pytest.mark.parametrize("network", NETWORKS)
def test_after_five_quick_prompts_each_answer_holds_only_its_own_words(
    play_server: PlayServer, open_chat: OpenChat, network: str, *, supersedes: bool
) -> None:
    played = play_server(supersedes=supersedes)
    played.plays = {name: Play(numbered(name, 100)) for name in NAMES[:-1]}
    chat = open_chat(played.url, scripts=NETWORKS[network])
    rapid_prompts(chat, NAMES)
    chat.expect_state("complete")
    wait_until(lambda: all(answer.is_over for answer in played.answers))
    wait_until(lambda: not chat.page.evaluate("() => window.late"))
    assert chat.words() == words("five")
    texts = {
        answer.prompt: answer.text if answer.kept is None else answer.kept
        for answer in played.answers
    }
    # One that was overtaken on its way is no turn of the history.
    assert_each_answer_is_its_own(chat, [texts.get(name, "") for name in NAMES])


def test_after_five_quick_prompts_the_real_server_has_stopped_four_at_the_model(
    chat: ChatPage, server: Server, sim: Sim
) -> None:
    prompts = [named_prompt(sim, name, "&tokens=5000") for name in NAMES[:-1]]
    rapid_prompts(chat, [*prompts, named_prompt(sim, NAMES[-1])])
    chat.expect_state("complete")
    lengths = [5000] * 4 + [60]
    kept = [" ".join(words(*answer)) for answer in zip(NAMES, lengths, strict=True)]
    assert_each_answer_is_its_own(chat, kept)
    server.wait_until_idle()
    stats = sim.wait_until_all_closed()
    assert stats["max_open"] == 1
    assert stats["completed"] == 1


def test_a_frame_that_names_another_stream_is_dropped(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["mine"] = Play(["a ", Foreign("intruder "), Pause(0.2), Foreign("again "), "b"])
    chat = open_chat(played.url)
    chat.expect_answer("mine", "b")
    assert chat.words() == ["a", "b"]


def test_events_that_come_twice_after_a_cut_are_taken_once(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["mine"] = Play(numbered("mine"), cut_after=10, cut_is_clean=True, repeats=5)
    chat = open_chat(played.url)
    chat.expect_answer("mine", "w39")
    assert chat.words() == words("mine")
    (request,) = played.asked("GET", "/v1/streams/")
    assert request.query == {"after": "10"}


def test_a_new_prompt_aborts_the_answer_before_it_asks(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["one"] = Play(numbered("one", 200))
    chat = open_chat(played.url, scripts=(NOTES_CALLS,))
    chat.ask("one")
    expect(chat.answer()).to_contain_text("w1@")
    chat.expect_answer("two", "w39")
    calls: list[str] = chat.page.evaluate("() => window.calls")
    ask = "POST /v1/chat/completions"
    assert [call for call in calls if call.endswith(ask)] == [ask, f"abort {ask}", ask]
