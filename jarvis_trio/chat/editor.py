"""The line being typed, and those before it. Pure."""

import unicodedata
from typing import Final

from msgspec import Struct
from rich.cells import cell_len

from jarvis_trio.chat.keys import Key
from jarvis_trio.chat.safe_text import safe

MOST_LINES: Final = 500
"""How many former lines can be brought back."""

MARGIN: Final = 4


class Shown(Struct, frozen=True):
    """A part of the line that fits, and in which of its cells the cursor stands."""

    text: str
    column: int


class Editor:
    """A line that may hold line feeds. ``text`` is what Enter would send."""

    def __init__(self) -> None:
        self.text = ""
        self._at = 0
        self._former: list[str] = []
        self._back = 0
        self._draft = ""

    def insert(self, text: str) -> None:
        """Insert text at the cursor."""
        self.text = self.text[: self._at] + text + self.text[self._at :]
        self._at += len(text)

    def take(self) -> str:
        """Return the line, keep it among the former ones, and begin a new one."""
        text = self.text
        if text.strip() and (not self._former or self._former[-1] != text):
            self._former = [*self._former[1 - MOST_LINES :], text]
        self._set("")
        self._back, self._draft = 0, ""
        return text

    def press(self, key: Key) -> None:
        """Do what the key does; any that is not known does nothing."""
        before, after = self.text[: self._at], self.text[self._at :]
        match key:
            case Key.LEFT:
                self._at = max(0, self._at - len(_last_character(before)))
            case Key.RIGHT:
                self._at += len(_first_character(after))
            case Key.HOME:
                self._at = 0
            case Key.END:
                self._at = len(self.text)
            case Key.UP:
                self._recall(self._back + 1)
            case Key.DOWN:
                self._recall(self._back - 1)
            case _:
                self._erase(key, before, after)

    def shown(self, width: int) -> Shown:
        """Return the part round the cursor that fits into so many cells."""
        before = _on_one_line(self.text[max(0, self._at - width) : self._at])
        after = _on_one_line(self.text[self._at : self._at + width])
        room = width - min(MARGIN, cell_len(after)) - 1
        while cell_len(before) > max(0, room):
            before = before[1:]
        column = cell_len(before)
        while after and cell_len(after) > width - column - 1:
            after = after[:-1]
        return Shown(before + after, column)

    def _erase(self, key: Key, before: str, after: str) -> None:
        match key:
            case Key.BACKSPACE:
                before = before[: len(before) - len(_last_character(before))]
            case Key.DELETE:
                after = after[len(_first_character(after)) :]
            case Key.KILL_LINE:
                before = ""
            case Key.KILL_REST:
                after = ""
            case Key.KILL_WORD:
                kept = before.rstrip()
                before = kept[: max(kept.rfind(" "), kept.rfind("\n")) + 1]
        self.text, self._at = before + after, len(before)

    def _recall(self, back: int) -> None:
        if not 0 <= back <= len(self._former):
            return
        if self._back == 0:
            self._draft = self.text
        self._back = back
        self._set(self._former[-back] if back else self._draft)

    def _set(self, text: str) -> None:
        self.text, self._at = text, len(text)


def _on_one_line(text: str) -> str:
    return safe(text).replace("\n", "⏎").replace("\t", " ")


def _last_character(text: str) -> str:
    """Return the last one that people see, with the marks that combine with it."""
    at = len(text) - 1
    while at > 0 and (unicodedata.combining(text[at]) or text[at] in "\u200d\ufe0f"):
        at -= 1
    return text[max(at, 0) :]


def _first_character(text: str) -> str:
    end = 1
    while end < len(text) and (unicodedata.combining(text[end]) or text[end] in "\u200d\ufe0f"):
        end += 1
    return text[:end]
