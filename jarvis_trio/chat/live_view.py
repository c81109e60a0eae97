"""The chat on a terminal: an answer that grows above the line being typed.

One task draws, at once when a key was pressed and ten times a second while text comes. What is
finished is drawn once and belongs to the terminal from then on.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import dropwhile
from typing import Final, Protocol

import trio

from jarvis_trio.chat.answer import Piece
from jarvis_trio.chat.blocks import Block, GrowingMarkdown
from jarvis_trio.chat.client import SessionList, StoredMessage
from jarvis_trio.chat.editor import Editor
from jarvis_trio.chat.ink import DIM, EMPTY, PROMPT, Ink
from jarvis_trio.chat.safe_text import safe_line
from jarvis_trio.chat.screen import Row, Screen
from jarvis_trio.events import Reasoning

DRAW_SECONDS: Final = 0.1

MOST_DRAWN_CHARACTERS: Final = 8 * 1024
"""Of new text, between two looks at the keys."""

MOST_AHEAD_CHARACTERS: Final = 256 * 1024
"""What may wait to be drawn; an answer that is faster than its terminal waits with the rest."""

MOST_WAITING: Final = 3
"""Prompts that wait, and are shown."""

_Rows = Callable[[int], list[Row]]
"""Rows, once the width is known."""


class Surface(Protocol):
    """The terminal, as far as it is drawn on."""

    def size(self) -> tuple[int, int]:
        """Return how many columns and rows there are."""
        ...

    async def write(self, text: str) -> None:
        """Write it. *Errors:* OSError when it was closed."""
        ...


class LiveView:
    """A ``View`` over a terminal. The line being typed is the editor's."""

    def __init__(self, terminal: Surface, editor: Editor, ink: Ink) -> None:
        self._terminal = terminal
        self._editor = editor
        self._ink = ink
        self._screen = Screen()
        self._coming: deque[Piece | _Rows | None] = deque()
        self._ahead = 0
        self._has_room = trio.Event()
        self._has_news = trio.Event()
        self._is_urgent = trio.Event()
        self._growing = GrowingMarkdown()
        self._is_thought = False
        self._open: tuple[str, int] = ("", 0)
        self._open_rows: list[Row] = []
        self._waiting: list[str] = []
        self._is_answering = False
        self._ends_empty = False

    async def run(self) -> None:
        """Draw what is new, for ever. *Errors:* OSError when the terminal has gone."""
        while True:
            await self._has_news.wait()
            self._has_news, self._is_urgent = trio.Event(), trio.Event()
            await self._terminal.write(self._draw())
            if self._coming:
                self._touch()
                continue
            with trio.move_on_after(DRAW_SECONDS):
                await self._is_urgent.wait()

    def last(self) -> str:
        """Return what ends it: all that is not drawn yet, and no line to type in."""
        width, _ = self._terminal.size()
        above: list[Row] = []
        while self._coming:
            above += self._take(width)
        self._finish(above, width)
        return self._screen.clear(above)

    def touch(self) -> None:
        """Draw soon: a key was pressed."""
        self._is_urgent.set()
        self._touch()

    def redraw(self) -> None:
        """Draw everything anew: somebody else has written to the terminal."""
        self._screen.forget()
        self.touch()

    async def prompt(self, text: str) -> None:
        """Show the prompt above its answer."""
        self._is_answering = True
        self._add(partial(self._ink.prompt, text))

    async def pieces(self, pieces: Sequence[Piece]) -> None:
        """Let the answer grow; wait while the terminal is far behind."""
        self._coming.extend(pieces)
        self._ahead += sum(len(piece.text) for piece in pieces)
        self._touch()
        while self._ahead > MOST_AHEAD_CHARACTERS:
            self._has_room = trio.Event()
            await self._has_room.wait()

    async def end(self) -> None:
        """Draw the rest of the answer as finished."""
        self._is_answering = False
        self._coming.append(None)
        self._touch()

    async def note(self, text: str) -> None:
        """Tell it dim."""
        self._add(partial(self._ink.remark, text, DIM))

    async def error(self, text: str) -> None:
        """Tell it in red."""
        self._add(partial(self._ink.remark, text, "red"))

    async def sessions(self, found: SessionList) -> None:
        """Show a table."""
        self._add(partial(self._ink.sessions, found))

    async def history(self, messages: Sequence[StoredMessage]) -> None:
        """Show them as if they had just been said."""
        for message in messages:
            text = message.content or ""
            if message.role == "user":
                self._add(partial(self._ink.prompt, text))
            elif message.role == "assistant":
                self._add(partial(self._drawn, Block(text)))
                if message.state not in (None, "complete"):
                    await self.note(str(message.state))

    def waiting(self, prompts: Sequence[str]) -> None:
        """Show them above the line being typed."""
        self._waiting = [safe_line(prompt[:1000]) for prompt in prompts]
        self._touch()

    def _add(self, rows: _Rows) -> None:
        self._coming.append(rows)
        self._touch()

    def _touch(self) -> None:
        self._has_news.set()

    def _draw(self) -> str:
        width, height = self._terminal.size()
        above = self._take(width)
        shown = self._editor.shown(width - len(PROMPT))
        below = [*self._waiting_rows(width), self._ink.typed(shown.text)]
        rows = self._open_block(width)
        if rows:
            rows = [*rows, EMPTY]
        live = [*rows, *below][-max(1, height - 1) :]
        return self._screen.draw(above, live, len(PROMPT) + shown.column, width)

    def _open_block(self, width: int) -> list[Row]:
        source = self._growing.open
        if (source, width) != self._open:
            self._open = source, width
            self._open_rows = self._drawn(Block(source, is_whole=False), width) if source else []
        if self._is_answering:
            return [
                *self._open_rows,
                *([] if self._open_rows else self._ink.remark("…", DIM, width)),
            ]
        return self._open_rows

    def _waiting_rows(self, width: int) -> list[Row]:
        first = self._waiting[:MOST_WAITING]
        if len(self._waiting) > MOST_WAITING:
            first[-1] = f"and {len(self._waiting) - MOST_WAITING + 1} more"
        return [self._ink.remark(f"waits: {each}", DIM, width)[0] for each in first]

    def _take(self, width: int) -> list[Row]:
        """Take what has come, up to a bound; return the rows that it finishes."""
        rows: list[Row] = []
        left = MOST_DRAWN_CHARACTERS
        while self._coming and left > 0:
            match self._coming.popleft():
                case None:
                    self._finish(rows, width)
                case piece if not callable(piece):
                    if self._is_thought is not isinstance(piece, Reasoning):
                        self._finish(rows, width)
                        self._is_thought = isinstance(piece, Reasoning)
                    text, rest = piece.text[:left], piece.text[left:]
                    if rest:
                        self._coming.appendleft(type(piece)(rest))
                    left -= len(text)
                    self._ahead -= len(text)
                    for block in self._growing.feed(text):
                        self._stack(rows, self._drawn(block, width))
                case remark:
                    self._stack(rows, remark(width))
                    left -= 1
        if self._ahead <= MOST_AHEAD_CHARACTERS:
            self._has_room.set()
        return rows

    def _finish(self, rows: list[Row], width: int) -> None:
        for block in self._growing.finish():
            self._stack(rows, self._drawn(block, width))
        self._is_thought = False

    def _stack(self, rows: list[Row], more: list[Row]) -> None:
        """Put more rows below, and one empty row between two things, not two."""
        if self._ends_empty:
            more = list(dropwhile(_is_empty, more))
        if more:
            self._ends_empty = _is_empty(more[-1])
            rows += more

    def _drawn(self, block: Block, width: int) -> list[Row]:
        draw = self._ink.thought if self._is_thought else self._ink.markdown
        return [*draw(block.source, width), *([EMPTY] if block.is_whole else [])]


def _is_empty(row: Row) -> bool:
    return not row.sent.strip()
