"""As much of a terminal as the chat needs: what its user sees, and what has scrolled away."""

import re
from typing import Final

from rich.cells import cell_len

TOKEN: Final = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|([\r\n])|([^\x00-\x1f\x7f])")


class Emulator:
    """Takes what is sent to a terminal. Anything that ours has no need of is an error."""

    def __init__(self, width: int = 80, height: int = 24) -> None:
        self.width = width
        self.height = height
        self.rows: list[list[str]] = [[]]
        self.row = 0
        self.column = 0
        self.modes: set[str] = set()
        self.sent = ""

    @property
    def text(self) -> str:
        """All that was ever shown, without what was drawn over; the top has scrolled away."""
        return "\n".join("".join(row).rstrip() for row in self.rows)

    @property
    def lines(self) -> list[str]:
        """The rows that are not empty."""
        return [line for line in self.text.splitlines() if line]

    def feed(self, text: str) -> None:
        """Take what was sent."""
        self.sent += text
        at = 0
        while at < len(text):
            match = TOKEN.match(text, at)
            assert match, f"not for a terminal: {text[at : at + 20]!r}"
            at = match.end()
            private, number, command, control, character = match.groups()
            if command:
                self._obey(private, number, command)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._line_feed()
            else:
                self._put(character)

    def _obey(self, private: str, number: str, command: str) -> None:
        match private, command:
            case "?", "h":
                self.modes.add(number)
            case "?", "l":
                self.modes.discard(number)
            case "", "m":
                pass
            case "", "A":
                top = max(0, len(self.rows) - self.height)
                assert self.row - int(number or 1) >= top, "the cursor leaves the screen"
                self.row -= int(number or 1)
            case "", "C":
                self.column += int(number or 1)
            case "", "K" if number == "2":
                self.rows[self.row] = []
            case "", "J" if number == "":
                self.rows[self.row] = self.rows[self.row][: self.column]
                del self.rows[self.row + 1 :]
            case _:
                raise AssertionError(f"not for us: {private}{number}{command}")

    def _line_feed(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def _put(self, character: str) -> None:
        cells = cell_len(character)
        if self.column + cells > self.width:
            self._line_feed()
            self.column = 0
        row = self.rows[self.row]
        row.extend(" " * (self.column - len(row)))
        if cells:
            row[self.column : self.column + cells] = [character, *[""] * (cells - 1)]
            self.column += cells
        elif row:
            row[self.column - 1] += character
