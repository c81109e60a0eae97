"""Keys as they come from a terminal: in bursts."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.chat.keys import Key, Typed
from jarvis_trio.chat.typist import BURST_SECONDS, Keyboard
from tests.chat.conftest import Chat


class Wire:
    """What a terminal sends, and when."""

    def __init__(self) -> None:
        self.send, self._receive = trio.open_memory_channel[bytes](100)
        self.keyboard = Keyboard(self._receive.receive)


async def test_a_page_that_is_pasted_in_pieces_is_one_text(autojump_clock: MockClock) -> None:
    wire = Wire()
    for _ in range(50):
        wire.send.send_nowait(b"a line\r")
    assert await wire.keyboard.read() == [Typed("\n".join(["a line"] * 50)), Key.ENTER]


async def test_lines_that_are_typed_one_after_the_other_are_two(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    wire = Wire()

    async def type_two() -> None:
        await wire.send.send(b"one\r")
        await trio.sleep(2 * BURST_SECONDS)
        await wire.send.send(b"two\r")

    nursery.start_soon(type_two)
    assert await wire.keyboard.read() == [Typed("one"), Key.ENTER]
    assert await wire.keyboard.read() == [Typed("two"), Key.ENTER]


async def test_one_key_is_not_waited_behind(autojump_clock: MockClock) -> None:
    wire = Wire()
    wire.send.send_nowait(b"a")
    began = trio.current_time()
    assert await wire.keyboard.read() == [Typed("a")]
    assert trio.current_time() == began


async def test_a_key_that_comes_in_pieces_is_one(autojump_clock: MockClock) -> None:
    wire = Wire()
    wire.send.send_nowait(b"\x1b")
    wire.send.send_nowait(b"[A")
    assert await wire.keyboard.read() == [Key.UP]


async def test_a_pasted_page_asks_one_thing(
    autojump_clock: MockClock, nursery: trio.Nursery, chat: Chat
) -> None:
    wire = Wire()
    nursery.start_soon(chat.typist.run, wire.keyboard)
    for number in range(100):
        wire.send.send_nowait(f"line {number}\r".encode())
    await trio.sleep(1)
    asked = await chat.server.next()
    assert asked.json["prompt"].count("\n") == 99
    assert not chat.server.asked


async def test_a_closed_terminal_ends_it(autojump_clock: MockClock, chat: Chat) -> None:
    wire = Wire()
    wire.send.send_nowait(b"")
    with trio.fail_after(1):
        await chat.typist.run(wire.keyboard)
    await wait_all_tasks_blocked()
    assert not chat.server.asked
