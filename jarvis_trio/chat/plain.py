"""The chat in a pipe: each line is a prompt, answered before the next."""

import errno
import os
from collections.abc import Sequence
from typing import Final

import trio

from jarvis_trio.chat.answer import Piece
from jarvis_trio.chat.client import SessionList, StoredMessage
from jarvis_trio.chat.commands import Commands
from jarvis_trio.chat.conversation import Conversation
from jarvis_trio.chat.safe_text import safe, safe_line
from jarvis_trio.events import Text

READ_BYTES: Final = 64 * 1024


class Lines:
    """The lines of a file that may be a pipe, a terminal, or anything that can be read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = bytearray()
        self._is_over = False

    async def next(self) -> str | None:
        """Wait for a line that is not blank; None when there are no more."""
        while True:
            while (at := self._read.find(b"\n")) < 0 and not self._is_over:
                # A thread, since not all files can be polled; one that reads is left behind.
                data = await trio.to_thread.run_sync(self._receive, abandon_on_cancel=True)
                self._read += data
                self._is_over = not data
            if at < 0 and not self._read:
                return None
            end = at + 1 if at >= 0 else len(self._read)
            line = self._read[:end].decode("utf-8", "replace").strip()
            del self._read[:end]
            if line:
                return line

    def _receive(self) -> bytes:
        try:
            return os.read(self._descriptor, READ_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:  # what a terminal says that was closed
                raise
            return b""


class PlainView:
    """Writes answers to one descriptor, and what is said about them to another."""

    def __init__(self, answers: int, remarks: int) -> None:
        self._answers = answers
        self._remarks = remarks
        self._is_in_line = False

    async def prompt(self, text: str) -> None:
        """Show nothing: who asks knows."""

    async def pieces(self, pieces: Sequence[Piece]) -> None:
        """Write the text of the answer; thoughts are left out."""
        text = safe("".join(piece.text for piece in pieces if isinstance(piece, Text)))
        if text:
            self._is_in_line = not text.endswith("\n")
            await write(self._answers, text)

    async def end(self) -> None:
        """End the last line."""
        if self._is_in_line:
            self._is_in_line = False
            await write(self._answers, "\n")

    async def note(self, text: str) -> None:
        """Write it beside the answers."""
        await write(self._remarks, f"{safe(text)}\n")

    async def error(self, text: str) -> None:
        """Write it beside the answers."""
        await write(self._remarks, f"error: {safe_line(text)}\n")

    async def sessions(self, found: SessionList) -> None:
        """Write one line for each, with tabs between its columns."""
        for entry in found.data:
            columns = (entry.id, entry.title or "", entry.updated, entry.active_stream_id or "")
            line = "\t".join(safe_line(column) for column in columns)
            await write(self._answers, f"{line}\n")

    async def history(self, messages: Sequence[StoredMessage]) -> None:
        """Show nothing: what was said before is not asked for."""

    def waiting(self, prompts: Sequence[str]) -> None:
        """Show nothing: none waits."""


async def write(descriptor: int, text: str) -> None:
    """Write all of it, in a thread, since a pipe may be full for as long as its reader likes."""
    await trio.to_thread.run_sync(
        _write_all, descriptor, text.encode("utf-8", "replace"), abandon_on_cancel=True
    )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


async def converse(conversation: Conversation, commands: Commands, lines: Lines) -> bool:
    """Say line after line, each when the last is answered; say whether all were."""
    are_answered = True
    while (line := await lines.next()) is not None:
        if (command := commands.find(line)) is not None:
            await command.run()
            continue
        exchange = conversation.say(line)
        await exchange.ended.wait()
        are_answered &= exchange.failure is None
    return are_answered
