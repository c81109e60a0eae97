"""A chat without a terminal and without a server, in virtual time."""

import pytest
import trio

from jarvis_trio.chat.commands import Commands
from jarvis_trio.chat.conversation import Conversation
from jarvis_trio.chat.editor import Editor
from jarvis_trio.chat.ink import Ink
from jarvis_trio.chat.keys import Key, Typed
from jarvis_trio.chat.live_view import LiveView
from jarvis_trio.chat.typist import Typist
from tests.chat.emulator import Emulator
from tests.chat.scripted_server import ScriptedServer


class Paper:
    """A terminal on which each write is seen at once; ``stuck`` makes the next ones wait."""

    def __init__(self) -> None:
        self.screen = Emulator()
        self.drawn: list[tuple[float, str]] = []
        self.may_write = trio.Event()
        self.may_write.set()

    def size(self) -> tuple[int, int]:
        return self.screen.width, self.screen.height

    async def write(self, text: str) -> None:
        await self.may_write.wait()
        if text:
            self.drawn.append((trio.current_time(), text))
            self.screen.feed(text)


class Chat:
    """All of it, put together as the command does."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.server = ScriptedServer()
        self.paper = Paper()
        self.editor = Editor()
        self.left = trio.Event()
        self.view = LiveView(self.paper, self.editor, Ink())
        self.talk = Conversation(self.server.client(), self.view, nursery, "the-session")
        self.commands = Commands(self.talk, self.left.set)
        self.typist = Typist(self.talk, self.commands, self.editor, self.view, lambda: None)
        nursery.start_soon(self.view.run)

    async def press(self, *keys: Key | str) -> None:
        """Press keys, and type texts."""
        for key in keys:
            await self.typist.press(Typed(key) if isinstance(key, str) else key)
        self.view.touch()

    async def say(self, line: str) -> None:
        """Type a line, and Enter."""
        await self.press(line, Key.ENTER)

    async def lines(self) -> list[str]:
        """Return what stands on the terminal when all has been drawn."""
        await trio.sleep(1)
        return self.paper.screen.lines


@pytest.fixture
async def chat(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Chat:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Chat(nursery)
