"""One person and a server: prompts, stops, and what goes wrong."""

import gc

import httpx
import trio
from trio.testing import MockClock

from jarvis_trio.chat.client import Receipt
from jarvis_trio.chat.exchange import in_words
from jarvis_trio.chat.keys import Key
from tests.chat.conftest import Chat
from tests.chat.scripted_server import DONE, GOOD_END, chunk, failure

CANCEL = "/v1/sessions/the-session/cancel"


async def test_a_line_is_asked_in_its_session_and_its_answer_is_shown(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("  hello ")
    asked = await chat.server.next()
    assert asked.json == {"prompt": "hello", "stream": True}
    assert asked.request.headers["x-session-id"] == "the-session"
    assert "x-session-policy" not in asked.request.headers
    asked.answer().end(chunk("Good "), chunk("day."), GOOD_END)
    assert await chat.lines() == ["> hello", "Good day.", ">"]
    assert chat.talk.current is None


async def test_the_answer_is_shown_as_it_grows(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("hello")
    body = (await chat.server.next()).answer()
    assert await chat.lines() == ["> hello", "…", ">"]
    body.say(chunk("Good "))
    assert await chat.lines() == ["> hello", "Good", ">"]
    body.say(chunk("day."))
    assert await chat.lines() == ["> hello", "Good day.", ">"]


async def test_a_new_line_is_asked_at_once_and_shown_when_the_answer_before_has_ended(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    chat.talk.policy, chat.talk.model = "interrupt", "a-model"
    await chat.say("one")
    first = (await chat.server.next()).answer("str_1")
    first.say(chunk("One is"))
    await chat.say("two")
    asked = await chat.server.next()
    assert asked.request.headers["x-session-policy"] == "interrupt"
    assert asked.json["model"] == "a-model"
    asked.answer("str_2").end(chunk("Two."), GOOD_END)
    assert await chat.lines() == ["> one", "One is", "waits: two", ">"]
    first.end(failure("superseded", "a newer prompt took over"), DONE)
    assert await chat.lines() == [
        "> one", "One is", "a newer prompt took over", "> two", "Two.", ">"
    ]  # fmt: skip


async def test_prompts_superseded_before_their_answers_are_told_in_their_order(
    autojump_clock: MockClock, chat: Chat
) -> None:
    asked = []
    for line in ("one", "two", "three"):
        await chat.say(line)
        asked.append(await chat.server.next())
    asked[2].answer("str_3").end(chunk("Three."), GOOD_END)
    asked[1].refuse(409, "superseded", "taken over")
    assert (await chat.lines())[-3:] == ["waits: two", "waits: three", ">"]
    asked[0].refuse(409, "superseded", "taken over")
    assert await chat.lines() == [
        "> one", "taken over", "> two", "taken over", "> three", "Three.", ">"
    ]  # fmt: skip


async def test_a_rejected_line_is_told_why_and_comes_back_with_up(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("one")
    first = (await chat.server.next()).answer()
    await chat.say("two")
    (await chat.server.next()).refuse(409, "session_busy", "this session is answering")
    first.end(chunk("One."), GOOD_END)
    await chat.press(Key.UP)
    assert (await chat.lines())[-3:] == ["> two", "this session is answering", "> two"]


async def test_ctrl_c_stops_the_answer_by_its_name_and_shows_the_receipt(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("one")
    body = (await chat.server.next()).answer("str_7")
    body.say(chunk("One is"))
    await chat.lines()
    await chat.press("tw", Key.INTERRUPT)
    asked = await chat.server.next(CANCEL)
    assert asked.json == {"stream_id": "str_7"}
    body.end(failure("stopped", "stopped"), DONE)
    asked.reply_with({"status": "cancelled", "upstream_closed_ms": 0.6, "backend_idle_ms": 12.0})
    assert await chat.lines() == [
        "> one",
        "One is",
        "stopped: upstream closed after 0.6 ms, backend idle after 12 ms",
        "> tw",
    ]
    assert not chat.left.is_set()


async def test_ctrl_c_before_the_answer_has_a_name_closes_its_connection(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("one")
    await chat.server.next()
    await chat.press(Key.INTERRUPT)
    assert (await chat.lines())[-2:] == ["left: the connection is closed", ">"]
    assert not chat.server.asked


async def test_ctrl_c_while_the_prompt_is_being_sent_leaves_nothing_behind(
    autojump_clock: MockClock, chat: Chat
) -> None:
    chat.server.takes_nothing = True
    await chat.say("one")
    await chat.lines()
    await chat.press(Key.INTERRUPT)
    assert (await chat.lines())[-2:] == ["left: the connection is closed", ">"]
    gc.collect()


async def test_a_second_ctrl_c_does_not_wait_for_a_stop_that_hangs(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("one")
    body = (await chat.server.next()).answer()
    await chat.lines()
    await chat.press(Key.INTERRUPT)
    await chat.server.next(CANCEL)
    assert not body.closed.is_set()
    await chat.press(Key.INTERRUPT)
    with trio.fail_after(1):
        await body.closed.wait()
    assert (await chat.lines())[-2:] == ["left: the connection is closed", ">"]
    await chat.say("two")
    (await chat.server.next()).answer().end(chunk("Two."), GOOD_END)
    assert (await chat.lines())[-2:] == ["Two.", ">"]


async def test_a_stop_that_fails_is_told_and_the_answer_goes_on(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("one")
    body = (await chat.server.next()).answer()
    await chat.lines()
    await chat.press(Key.INTERRUPT)
    (await chat.server.next(CANCEL)).refuse(409, "not_current", "it is not the one")
    body.end(chunk("One."), GOOD_END)
    assert sorted((await chat.lines())[1:3]) == ["One.", "not stopped: it is not the one"]


async def test_a_stop_ends_the_answer_that_is_shown_and_not_the_one_that_waits(
    autojump_clock: MockClock, chat: Chat
) -> None:
    chat.talk.policy = "enqueue"
    await chat.say("one")
    (await chat.server.next()).answer("str_1")
    await chat.say("two")
    (await chat.server.next()).answer("str_2")
    await chat.lines()
    await chat.press(Key.INTERRUPT)
    assert (await chat.server.next(CANCEL)).json == {"stream_id": "str_1"}


async def test_ctrl_c_at_an_empty_line_tells_how_to_leave_and_the_second_leaves(
    autojump_clock: MockClock,
    chat: Chat,
) -> None:
    await chat.press("typed", Key.INTERRUPT)
    assert await chat.lines() == [">"]
    await chat.press(Key.INTERRUPT)
    assert await chat.lines() == ["Ctrl-C again, Ctrl-D or /quit leaves", ">"]
    await chat.press("x", Key.BACKSPACE, Key.INTERRUPT)
    assert not chat.left.is_set()
    await chat.press(Key.INTERRUPT)
    assert chat.left.is_set()


async def test_ctrl_d_leaves_only_at_an_empty_line(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.press("ab", Key.HOME, Key.END_OF_INPUT)
    assert chat.editor.text == "b"
    assert not chat.left.is_set()
    await chat.press(Key.END_OF_INPUT, Key.END_OF_INPUT)
    assert chat.left.is_set()


async def test_an_answer_without_its_end_is_not_taken_for_whole(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("one")
    exchange = chat.talk.current
    (await chat.server.next()).answer().end(chunk("One is", finish="stop"))
    shown = await chat.lines()
    assert shown == ["> one", "One is", "the connection ended before the answer did", ">"]
    assert exchange is not None
    assert exchange.failure is not None


async def test_an_answer_whose_connection_breaks_says_the_same(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.say("one")
    asked = await chat.server.next()
    asked.reply(httpx.Response(200, stream=Breaking()))
    assert (await chat.lines())[-2] == "the connection ended before the answer did"


class Breaking(httpx.AsyncByteStream):
    """A body that breaks off."""

    def __aiter__(self) -> "Breaking":
        return self

    async def __anext__(self) -> bytes:
        raise httpx.RemoteProtocolError("peer closed")


async def test_every_refusal_is_one_line_and_the_session_goes_on(
    autojump_clock: MockClock, chat: Chat
) -> None:
    refused = httpx.ConnectError("all attempts failed")
    refused.__cause__ = ConnectionRefusedError(111, "Connection refused")
    for answer, told in (
        (httpx.Response(401, json={"error": {"message": "no such key", "code": "x"}}),
         "no such key (--key or JARVIS_API_KEY names the key)"),
        (httpx.Response(502, text="<h1>Bad gateway</h1>"), "<h1>Bad gateway</h1>"),
        (httpx.Response(500), "the server answered with HTTP 500"),
        (refused,
         "no connection to http://server.test (Connection refused); is the server running?"),
        (httpx.ReadTimeout(""), "http://server.test took too long to answer"),
        (httpx.RemoteProtocolError(""),
         "the connection to http://server.test broke before it answered"),
    ):  # fmt: skip
        await chat.say("one")
        (await chat.server.next()).reply(answer)
        assert (await chat.lines())[-2:] == [told, ">"]


async def test_an_answer_cut_at_its_longest_says_so(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("one")
    (await chat.server.next()).answer().end(chunk("One is"), chunk(finish="length"), DONE)
    assert (await chat.lines())[-3:] == ["One is", "the answer was cut at its longest", ">"]


async def test_what_is_no_answer_is_told_and_left(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.say("one")
    body = (await chat.server.next()).answer()
    body.say(b"data: {7\n\n")
    assert (await chat.lines())[1].startswith("the server sent what is no answer")
    assert body.closed.is_set()


def test_a_receipt_in_words_says_only_what_was_seen() -> None:
    closed = Receipt("unconfirmed", upstream_closed_ms=0.6)
    assert in_words(closed) == "stopped: upstream closed after 0.6 ms, backend not seen idle"
    assert in_words(Receipt("cancelled")) == "stopped before the model server was asked"
    assert in_words(Receipt()) == "stopped: the upstream was not seen to close"
    assert in_words(Receipt("already_ended", "completed")) == "it had already ended (completed)"
