"""What an answer says, read as it comes: text, thoughts, and its end or the lack of one."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from jarvis_trio.errors import WireError
from jarvis_trio.events import Reasoning, Text
from jarvis_trio.wire.decoding import MALFORMED
from jarvis_trio.wire.sse import SSEDecoder, SSEEvent

Piece = Text | Reasoning

UNREADABLE: Final = "unreadable"
CUT: Final = "cut"


class Failure(Struct, frozen=True):
    """Why there is no answer, or not all of it: a code for us, a sentence for people."""

    code: str
    message: str


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class AnswerDecoder:
    """Turns the bytes of a streamed answer into pieces; never raises.

    ``is_done`` says that its end marker came, ``finish_reason`` why it ended well.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.finish_reason: str | None = None
        self._failure: Failure | None = None
        self._events = SSEDecoder()

    @property
    def failure(self) -> Failure | None:
        """Why it is no whole answer. Without an end of its own it is none, however much came."""
        if self._failure is None and not (self.is_done and self.finish_reason is not None):
            return Failure(CUT, "the connection ended before the answer did")
        return self._failure

    @property
    def is_readable(self) -> bool:
        """Nothing has come yet that is no answer; behind such a thing, nothing is read."""
        return self._failure is None or self._failure.code != UNREADABLE

    def feed(self, data: bytes) -> list[Piece]:
        """Take the next bytes; return what they say."""
        pieces: list[Piece] = []
        if not self.is_readable:
            return pieces
        try:
            for event in self._events.feed(data):
                self._read(event, pieces)
        except (WireError, *MALFORMED) as error:
            self._failure = Failure(UNREADABLE, f"the server sent what is no answer: {error}")
        return pieces

    def _read(self, event: SSEEvent, pieces: list[Piece]) -> None:
        if self.is_done:
            return
        if event.data == b"[DONE]":
            self.is_done = True
            return
        chunk = _decode_chunk(event.data)
        if chunk.error is not None and self._failure is None:
            self._failure = read_failure(chunk.error)
        for choice in chunk.choices or ():
            delta = choice.delta or _Delta()
            if delta.reasoning_content:
                pieces.append(Reasoning(delta.reasoning_content))
            if delta.content:
                pieces.append(Text(delta.content))
            self.finish_reason = choice.finish_reason or self.finish_reason


def read_failure(error: Any, otherwise: str = "the server reported an error") -> Failure:
    """Read the object under ``error``, in whatever shape it is."""
    if not isinstance(error, dict):
        return Failure("error", error if isinstance(error, str) and error else otherwise)
    code, message = error.get("code"), error.get("message")
    return Failure(
        code if isinstance(code, str) else "error",
        message if isinstance(message, str) and message else otherwise,
    )
