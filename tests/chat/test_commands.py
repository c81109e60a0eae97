"""Lines that begin with a slash."""

from unittest.mock import ANY

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.chat.keys import Key
from tests.chat.conftest import Chat
from tests.chat.scripted_server import GOOD_END, chunk

SESSIONS = "/v1/sessions"


async def test_sessions_are_listed_and_looked_for(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("/sessions")
    entry = {"id": "s-1", "title": "Sums", "created_at": 1, "updated_at": 1_790_000_000,
             "active_stream_id": "str_1"}  # fmt: skip
    (await chat.server.next(SESSIONS)).reply_with({"data": [entry], "has_more": True, "x": 1})
    lines = await chat.lines()
    assert lines[1].split() == ["s-1", "Sums", ANY, ANY, "●", "live"]
    assert lines[2] == "there are more; /sessions TEXT looks for one"
    await chat.say("/sessions two & two")
    asked = await chat.server.next(SESSIONS)
    assert dict(asked.request.url.params) == {"search": "two & two"}


async def test_a_server_without_a_list_is_told_of(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("/sessions")
    (await chat.server.next(SESSIONS)).refuse(404, "not_found", "nothing is here")
    assert (await chat.lines())[0] == "this server keeps no list of sessions; a newer one does"
    await chat.say("/sessions")
    (await chat.server.next(SESSIONS)).reply_with({"data": 7})
    assert (await chat.lines())[1].startswith("the server sent what we cannot read")


async def test_a_session_is_continued_with_what_was_said(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("/session other")
    (await chat.server.next(f"{SESSIONS}/other/messages")).reply_with(
        {
            "data": [
                {"role": "tool", "content": None},
                {"role": "assistant", "content": "**4**, or", "state": "interrupted"},
                {"role": "user", "content": "2+2?", "state": "complete"},
            ]
        }
    )
    assert await chat.lines() == ["> 2+2?", "4, or", "interrupted", "session other", ">"]
    await chat.say("go on")
    assert (await chat.server.next()).request.headers["x-session-id"] == "other"


async def test_of_a_long_history_the_end_is_shown(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("/session other")
    asked = await chat.server.next(f"{SESSIONS}/other/messages")
    assert dict(asked.request.url.params) == {"order": "desc", "limit": "10"}
    newest = [{"role": "user", "content": f"line {seq}"} for seq in range(15, 5, -1)]
    asked.reply_with({"data": newest, "has_more": True})
    assert (await chat.lines())[:-2] == [f"> line {seq}" for seq in range(6, 16)]


@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_prompt_that_is_quicker_than_the_history_is_not_told_again_as_past(
    autojump_clock: MockClock, chat: Chat, nursery: trio.Nursery, is_answered: bool
) -> None:
    nursery.start_soon(chat.commands.show_history)
    asked = await chat.server.next(f"{SESSIONS}/the-session/messages")
    await chat.say("2+2?")
    answer = await chat.server.next()
    if is_answered:
        answer.answer().end(chunk("4"), GOOD_END)
        await chat.lines()
    asked.reply_with({"data": [{"role": "user", "content": "2+2?"}]})
    assert "\n".join(await chat.lines()).count("2+2?") == 1


async def test_a_history_that_comes_when_the_session_has_been_left_is_not_shown(
    autojump_clock: MockClock, chat: Chat, nursery: trio.Nursery
) -> None:
    nursery.start_soon(chat.commands.show_history)
    asked = await chat.server.next(f"{SESSIONS}/the-session/messages")
    await chat.say("/new work")
    asked.reply_with({"data": [{"role": "user", "content": "2+2?"}]})
    assert "2+2?" not in "\n".join(await chat.lines())


async def test_an_unknown_session_is_not_gone_to(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("/switch other")
    (await chat.server.next(f"{SESSIONS}/other/messages")).refuse(404, "not_found", "no such one")
    assert (await chat.lines())[0] == "still in the-session: no such one"
    assert chat.talk.session_id == "the-session"


async def test_a_session_is_not_left_while_it_answers(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("/session other")
    asked = await chat.server.next(f"{SESSIONS}/other/messages")
    await chat.say("meanwhile")
    answer = await chat.server.next()
    asked.reply_with({"data": []})
    await chat.say("/new")
    await chat.lines()
    assert chat.talk.session_id == "the-session"
    shown = " ".join(await chat.lines())
    assert "still in the-session, which is answering" in shown
    assert "an answer is being written; /stop it first" in shown
    answer.answer().end(GOOD_END)


async def test_a_new_session_has_the_name_that_is_given_or_one_of_its_own(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("/new work")
    assert chat.talk.session_id == "work"
    await chat.say("/new")
    assert chat.talk.session_id.startswith("chat-")
    await chat.say("/new not/a/name")
    assert (await chat.lines())[-2].startswith("a session's name is")
    assert chat.talk.session_id.startswith("chat-")


async def test_the_policy_is_told_and_chosen(autojump_clock: MockClock, chat: Chat) -> None:
    for line in ("/policy", "/policy enqueue", "/policy polite"):
        await chat.say(line)
    assert await chat.lines() == [
        "policy as the server is set",
        "policy enqueue",
        "'polite' is no policy; there are interrupt, rollback, enqueue, reject",
        ">",
    ]
    await chat.say("hello")
    assert (await chat.server.next()).request.headers["x-session-policy"] == "enqueue"


async def test_stop_help_and_quit(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("/stop")
    await chat.say("/help")
    lines = await chat.lines()
    assert lines[0] == "nothing is being answered"
    assert lines[1].startswith("/sessions [text]")
    await chat.say("/quit")
    assert chat.left.is_set()


async def test_what_is_no_command_is_told_and_comes_back_with_up(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("/etc/passwd is a file")
    assert (await chat.lines())[0].startswith("there is no command /etc/passwd;")
    await chat.press(Key.UP, Key.HOME, " ", Key.ENTER)
    assert (await chat.server.next()).json["prompt"] == "/etc/passwd is a file"


async def test_a_page_that_begins_with_a_slash_is_a_prompt(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("/* a comment\n*/")
    assert (await chat.server.next()).json["prompt"] == "/* a comment\n*/"
