"""Markdown as it is written, cut into blocks that are finished and one that is not. Pure.

A finished block is drawn once; only the open one is drawn again as it grows, and it is bounded.
"""

import re
from typing import Final

from msgspec import Struct

MOST_OPEN_CHARACTERS: Final = 3000
"""What is drawn ten times a second: more than that is cut, at a line's end if there is one."""

LONGEST_FENCE: Final = 100

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")


class Block(Struct, frozen=True):
    """Markdown that stands for itself. ``is_whole`` says that a blank line follows."""

    source: str
    is_whole: bool = True


class GrowingMarkdown:
    """Takes text as it comes. ``open`` is what is not finished yet, and drawn as it is."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._tail = ""
        self._fence: str | None = None
        self._ends = False

    @property
    def open(self) -> str:
        """The block that is being written."""
        return "\n".join([*self._lines, self._tail]) if self._tail else "\n".join(self._lines)

    def feed(self, text: str) -> list[Block]:
        """Take the next text; return the blocks that it finishes."""
        blocks: list[Block] = []
        *lines, tail = (self._tail + text).split("\n")
        for line in lines:
            rest = self._cut_long(line, blocks)
            self._take(rest, blocks)
            if self._size > MOST_OPEN_CHARACTERS:
                self._cut(blocks)
        self._tail = self._cut_long(tail, blocks)
        return blocks

    def finish(self) -> list[Block]:
        """Take note that no more comes; return what was open."""
        blocks: list[Block] = []
        if self._tail:
            self._take(self._tail, blocks)
            self._tail = ""
        self._close(blocks)
        self._fence = None
        return blocks

    def _take(self, line: str, blocks: list[Block]) -> None:
        """Take one whole line.

        1. In a fence, only its end matters; behind that, the block is finished.
        2. A blank line may end a block: what follows decides, since an indented line belongs to it.
        3. Behind blank lines, a line that is not indented begins another block.
        """
        if self._fence is not None:
            self._add(line)
            if line.strip().startswith(self._fence[:3]) and _closes(line, self._fence):
                self._fence = None
                self._close(blocks)
        elif not line.strip():
            self._ends = bool(self._lines)
            if self._ends:
                self._add(line)
        else:
            if self._ends and not line[0].isspace():
                self._close(blocks)
            self._ends = False
            if match := _FENCE.match(line):
                self._close(blocks)
                self._fence = match[0].strip()[:LONGEST_FENCE]
            self._add(line)

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line) + 1

    def _close(self, blocks: list[Block], *, is_whole: bool = True) -> None:
        source = "\n".join(self._lines).rstrip()
        if source:
            blocks.append(Block(source, is_whole))
        self._lines, self._size, self._ends = [], 0, False

    def _cut_long(self, line: str, blocks: list[Block]) -> str:
        """Take a line that is too long piece by piece, between words; return what is left."""
        while len(line) > MOST_OPEN_CHARACTERS:
            at = line.rfind(" ", 0, MOST_OPEN_CHARACTERS) + 1 or MOST_OPEN_CHARACTERS
            self._take(line[:at], blocks)
            self._cut(blocks)
            line = line[at:]
        return line

    def _cut(self, blocks: list[Block]) -> None:
        """End the block here; code goes on in another of its kind."""
        if self._fence is None:
            self._close(blocks, is_whole=False)
            return
        self._add(_marks(self._fence))
        self._close(blocks, is_whole=False)
        self._add(self._fence)


def _marks(fence: str) -> str:
    return fence[: len(fence) - len(fence.lstrip(fence[0]))]


def _closes(line: str, fence: str) -> bool:
    text = line.strip()
    return set(text) == {fence[0]} and len(text) >= len(_marks(fence))
