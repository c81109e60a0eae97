"""What is typed at a terminal, and what each key does to the conversation."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from jarvis_trio.chat.commands import Commands
from jarvis_trio.chat.conversation import Conversation
from jarvis_trio.chat.editor import Editor
from jarvis_trio.chat.keys import Key, KeyDecoder, Typed
from jarvis_trio.chat.live_view import LiveView

BURST_SECONDS: Final = 0.01
"""A paste comes in pieces, and so may an arrow key; people are slower."""

MOST_BURST_BYTES: Final = 1024 * 1024

ESCAPE: Final = b"\x1b"


class Keyboard:
    """Reads keys, burst by burst, so that a pasted page is one prompt."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]]) -> None:
        self._receive = receive
        self._decoder = KeyDecoder()

    async def read(self) -> list[Key | Typed] | None:
        """Wait for keys; None when the terminal was closed."""
        data = more = await self._receive()
        if not data:
            return None
        while more and (len(data) > 1 or data == ESCAPE) and len(data) < MOST_BURST_BYTES:
            more = b""
            with trio.move_on_after(BURST_SECONDS):
                more = await self._receive()
            data += more
        return self._decoder.feed(data)


class Typist:
    """Edits the line, sends it, and interrupts. ``suspend`` is Ctrl-Z."""

    def __init__(
        self,
        conversation: Conversation,
        commands: Commands,
        editor: Editor,
        view: LiveView,
        suspend: Callable[[], None],
    ) -> None:
        self._conversation = conversation
        self._commands = commands
        self._editor = editor
        self._view = view
        self._suspend = suspend
        self._is_warned = False

    async def run(self, keyboard: Keyboard) -> None:
        """Do what is typed, until the terminal is closed."""
        while (keys := await keyboard.read()) is not None:
            for key in keys:
                await self.press(key)
            self._view.touch()

    async def press(self, key: Key | Typed) -> None:
        """Do what one key does."""
        if key is Key.INTERRUPT:
            await self.interrupt()
            return
        self._is_warned = False
        match key:
            case Typed(text):
                self._editor.insert(text)
            case Key.ENTER:
                await self._send()
            case Key.END_OF_INPUT if not self._editor.text:
                self._commands.leave()
            case Key.END_OF_INPUT:
                self._editor.press(Key.DELETE)
            case Key.SUSPEND:
                self._suspend()
            case Key.REDRAW:
                self._view.redraw()
            case Key():
                self._editor.press(key)

    async def interrupt(self) -> None:
        """Do what Ctrl-C does, the first of these that it can.

        1. Stop the answer.
        2. Take the line away; Up brings it back.
        3. Tell how to leave.
        4. Leave: it was told.
        """
        if self._conversation.stop():
            self._is_warned = False
        elif self._editor.text:
            self._editor.take()
        elif not self._is_warned:
            self._is_warned = True
            await self._view.note("Ctrl-C again, Ctrl-D or /quit leaves")
        else:
            self._commands.leave()

    async def _send(self) -> None:
        line = self._editor.take()
        if not line.strip():
            return
        if (command := self._commands.find(line)) is None:
            self._conversation.say(line.strip())
        elif command.asks_server:
            self._conversation.start(command.run)
        else:
            await command.run()
