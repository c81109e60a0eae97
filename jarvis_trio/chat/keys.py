"""What a terminal sends, read as keys. Pure.

The sequences are xterm's: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

import codecs
import re
from enum import Enum, auto
from typing import Final

from msgspec import Struct


class Key(Enum):
    """A key that is no text."""

    ENTER = auto()
    INTERRUPT = auto()
    END_OF_INPUT = auto()
    SUSPEND = auto()
    REDRAW = auto()
    BACKSPACE = auto()
    DELETE = auto()
    LEFT = auto()
    RIGHT = auto()
    UP = auto()
    DOWN = auto()
    HOME = auto()
    END = auto()
    KILL_LINE = auto()
    KILL_REST = auto()
    KILL_WORD = auto()


class Typed(Struct, frozen=True):
    """Text that was typed, or pasted, and then perhaps of several lines."""

    text: str


_CONTROLS: Final = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x01": Key.HOME,
    "\x02": Key.LEFT,
    "\x03": Key.INTERRUPT,
    "\x04": Key.END_OF_INPUT,
    "\x05": Key.END,
    "\x06": Key.RIGHT,
    "\x08": Key.BACKSPACE,
    "\x0b": Key.KILL_REST,
    "\x0c": Key.REDRAW,
    "\x0e": Key.DOWN,
    "\x10": Key.UP,
    "\x15": Key.KILL_LINE,
    "\x17": Key.KILL_WORD,
    "\x1a": Key.SUSPEND,
    "\x7f": Key.BACKSPACE,
}

_SEQUENCES: Final = {
    "A": Key.UP,
    "B": Key.DOWN,
    "C": Key.RIGHT,
    "D": Key.LEFT,
    "H": Key.HOME,
    "F": Key.END,
    "1~": Key.HOME,
    "7~": Key.HOME,
    "4~": Key.END,
    "8~": Key.END,
    "3~": Key.DELETE,
}

_PASTE_BEGINS: Final = "\x1b[200~"
_PASTE_ENDS: Final = "\x1b[201~"
_TOKEN: Final = re.compile(
    r"\x1b[\[O](?P<sequence>[0-?]*[ -/]*[@-~])"
    r"|\x1b(?P<alt>[^\[O\x1b])"
    r"|(?P<text>[^\x00-\x1f\x7f]+)"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f]|\x1b(?=\x1b))"
)
_BREAK: Final = re.compile(r"\r\n?")


class KeyDecoder:
    """Turns bytes into keys and text.

    Several lines that come in one piece, and a bracketed paste, are one text with line feeds in it:
    who pastes a page asks one thing. Only an ``ENTER`` behind which no text comes is one.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._pasted: list[str] | None = None

    def feed(self, data: bytes) -> list[Key | Typed]:
        """Return what these bytes, which came together, complete.

        What has begun like a key and is none yet was the Escape key: it does nothing.
        """
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        found: list[Key | Typed] = []
        while text:
            if self._pasted is not None:
                text = self._take_paste(self._pasted, text, found)
            elif text.startswith(_PASTE_BEGINS):
                self._pasted, text = [], text[len(_PASTE_BEGINS) :]
            elif match := _TOKEN.match(text):
                self._take(match, found)
                text = text[match.end() :]
            else:
                text = text[1:] if text == "\x1b" else ""
        return _joined(found)

    def _take_paste(self, pasted: list[str], text: str, found: list[Key | Typed]) -> str:
        end = text.find(_PASTE_ENDS)
        if end >= 0:
            pasted.append(text[:end])
            lines = _BREAK.sub("\n", "".join(pasted)).rstrip("\n")
            found.append(Typed(lines))
            self._pasted = None
            return text[end + len(_PASTE_ENDS) :]
        # The mark of the end may itself be split.
        kept = next(
            (n for n in range(len(_PASTE_ENDS) - 1, 0, -1) if text.endswith(_PASTE_ENDS[:n])), 0
        )
        pasted.append(text[: len(text) - kept])
        self._rest = text[len(text) - kept :]
        return ""

    def _take(self, match: re.Match[str], found: list[Key | Typed]) -> None:
        key: Key | None = None
        match match.lastgroup, match[0]:
            case "text", text:
                found.append(Typed(text))
            case "control", control:
                key = _CONTROLS.get(control)
                if control == "\t":
                    found.append(Typed("\t"))
            case "alt", ("\x1b\r" | "\x1b\n"):
                found.append(Typed("\n"))
            case "sequence", _:
                key = _SEQUENCES.get(match["sequence"])
        if key is not None:
            found.append(key)


def _joined(found: list[Key | Typed]) -> list[Key | Typed]:
    """Make one text of those between which there is nothing but line ends."""
    joined: list[Key | Typed] = []
    for each in found:
        if isinstance(each, Typed):
            text, ends = each.text, 0
            while ends < len(joined) and joined[-1 - ends] is Key.ENTER:
                ends += 1
            before = joined[-1 - ends] if ends < len(joined) else None
            if ends:
                del joined[-ends:]
                text = "\n" * ends + text
            if isinstance(before, Typed):
                joined[-1] = Typed(before.text + text)
            else:
                joined.append(Typed(text))
        else:
            joined.append(each)
    return joined
