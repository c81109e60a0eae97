"""An answer that grows on a terminal, above the line being typed."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.chat.live_view import DRAW_SECONDS, MOST_AHEAD_CHARACTERS
from jarvis_trio.events import Reasoning, Text
from tests.chat.conftest import Chat


async def test_text_is_drawn_ten_times_a_second_at_most(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.view.prompt("hello")
    for _ in range(200):
        await chat.view.pieces([Text("word ")])
        await trio.sleep(0.01)
    times = [time for time, _ in chat.paper.drawn]
    assert 15 <= len(times) <= 2 / DRAW_SECONDS + 2
    assert "\n".join(await chat.lines()).count("word") == 200


async def test_a_key_is_drawn_at_once_while_text_waits_its_time(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.view.pieces([Text("one ")])
    await wait_all_tasks_blocked()
    began = trio.current_time()
    await chat.view.pieces([Text("two")])
    await chat.press("k")
    await wait_all_tasks_blocked()
    assert trio.current_time() == began
    assert chat.paper.screen.lines == ["one two", "> k"]


async def test_what_is_typed_stays_whole_while_an_answer_grows(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.view.prompt("hello")
    for number in range(100):
        await chat.view.pieces([Text(f"word{number}" + ("\n\n" if number % 20 == 19 else " "))])
        await chat.press(f"key{number} ")
        await trio.sleep(0.05)
        shown = chat.paper.screen.lines[-1]
        assert f"> {' '.join(f'key{each}' for each in range(number + 1))}".endswith(shown[2:])
        assert shown.endswith(f"key{number}")
    lines = await chat.lines()
    words = " ".join(lines[1:-1]).split()
    assert words == [f"word{number}" for number in range(100)]


async def test_a_long_answer_is_drawn_once_and_only_its_end_again(
    autojump_clock: MockClock, chat: Chat
) -> None:
    text = "".join(f"Paragraph {number}. " + "word " * 50 + "\n\n" for number in range(300))
    for at in range(0, len(text), 400):
        await chat.view.pieces([Text(text[at : at + 400])])
        await trio.sleep(DRAW_SECONDS)
    await chat.view.end()
    shown = " ".join(await chat.lines())
    assert shown.split()[:-1] == text.split()
    sent = sum(len(each) for _, each in chat.paper.drawn)
    assert sent < 4 * len(text)
    assert max(len(each) for _, each in chat.paper.drawn) < 5000


async def test_an_open_block_that_is_higher_than_the_terminal_shows_its_end(
    autojump_clock: MockClock, chat: Chat
) -> None:
    code = "```\n" + "".join(f"line {number}\n" for number in range(60))
    await chat.view.pieces([Text(code)])
    lines = await chat.lines()
    assert lines[-2:] == ["line 59", ">"]
    assert len(lines) <= chat.paper.screen.height
    await chat.view.pieces([Text("```\n")])
    assert await chat.lines() == [*(f"line {number}" for number in range(60)), ">"]


async def test_thoughts_stand_above_the_answer(autojump_clock: MockClock, chat: Chat) -> None:
    await chat.view.pieces([Reasoning("Hm, "), Reasoning("well."), Text("**So**"), Text(".")])
    await chat.view.end()
    assert await chat.lines() == ["Hm, well.", "So.", ">"]


async def test_one_empty_row_stands_between_two_things(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.view.prompt("one")
    await chat.view.pieces([Text("A list:\n\n- an item")])
    await chat.view.end()
    await chat.view.prompt("two")
    await chat.lines()
    assert chat.paper.screen.text == "\n> one\n\nA list:\n\n • an item\n\n> two\n\n…\n\n>"


async def test_a_remark_amid_an_answer_stands_above_what_is_not_finished(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.view.pieces([Text("one ")])
    await chat.view.note("by the way")
    await chat.view.pieces([Text("two")])
    assert await chat.lines() == ["by the way", "one two", ">"]


async def test_an_answer_waits_for_a_terminal_that_is_far_behind(
    autojump_clock: MockClock, nursery: trio.Nursery, chat: Chat
) -> None:
    chat.paper.may_write = trio.Event()
    taken = 0

    async def answer() -> None:
        nonlocal taken
        for _ in range(400):
            await chat.view.pieces([Text("x " * 500)])
            taken += 1

    nursery.start_soon(answer)
    await trio.sleep(10)
    assert taken <= MOST_AHEAD_CHARACTERS // 1000 + 20
    chat.paper.may_write.set()
    await trio.sleep(100)
    assert taken == 400


async def test_the_last_drawing_holds_all_and_leaves_no_line_to_type_in(
    autojump_clock: MockClock, chat: Chat
) -> None:
    await chat.press("not sent")
    await chat.lines()
    await chat.view.pieces([Text("one\n\ntwo")])
    chat.paper.screen.feed(chat.view.last())
    assert chat.paper.screen.lines == ["one", "two"]
