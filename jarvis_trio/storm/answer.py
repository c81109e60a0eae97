"""What an answer says, read as a client library reads it: text, reason, error, end."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from jarvis_trio.errors import WireError
from jarvis_trio.storm.call import MOST_BODY_BYTES, Call
from jarvis_trio.wire.sse import SSEDecoder, SSEEvent

FAILED: Final = ("error", "abort")
"""Finish reasons, OpenRouter's and vLLM's, with which nobody takes an answer for whole."""

LONGEST_CODE: Final = 100
"""What is longer is no code, whatever it is: it stands in one line."""

UNREADABLE: Final = (
    ValueError,
    WireError,
    AttributeError,
    TypeError,
    LookupError,
    RecursionError,
)


class Answer(Struct):
    """``events`` counts those of a stream. ``fault`` says what cannot be read, None if all can.

    ``is_left`` says that it was given up before its end, whoever is to blame.
    ``message`` is the error's, None where there is none in OpenAI's shape.
    """

    status: int
    text: str = ""
    finish_reason: str | None = None
    error: str | None = None
    message: str | None = None
    is_done: bool = False
    is_cut: bool = False
    is_left: bool = False
    events: int = 0
    fault: str | None = None

    @property
    def is_complete(self) -> bool:
        """It is a whole answer, and says so."""
        return self.status == 200 and self.finish_reason is not None and self._has_its_end

    @property
    def is_honest(self) -> bool:
        """Whoever reads it knows how it ended: whole, or with an error, and never neither.

        Client libraries raise at an error's frame: what comes behind it, they do not read.
        """
        if self.status != 200:
            return not self.is_cut
        if self.error is None:
            return self._has_its_end and self.finish_reason is not None
        return not self.is_cut and self.fault is None and self.finish_reason is None

    @property
    def looks_whole(self) -> bool:
        """Whoever reads it takes it for a good answer: nothing says that it is not."""
        if self.status != 200 or self.fault is not None:
            return False
        has_end = self.is_done or not self.is_cut
        return self.finish_reason is not None or (self.error is None and has_end)

    @property
    def _has_its_end(self) -> bool:
        return self.is_done and not self.is_cut and self.fault is None

    def __str__(self) -> str:
        words = [f"HTTP {self.status}" if self.status else "no answer"]
        if self.error is not None:
            words.append(f"error {self.error}")
        if self.finish_reason is not None:
            words.append(f"finish_reason {self.finish_reason}")
        if self.status == 200:
            words.append("[DONE]" if self.is_done else "no [DONE]")
        if self.is_cut:
            words.append("no end" if self.is_left else "cut off")
        if self.fault is not None:
            words.append(self.fault)
        return ", ".join(words)


def read_answer(call: Call) -> Answer:
    """Read what has come so far."""
    answer = Answer(call.status, is_cut=not call.is_whole, is_left=call.ended_ns is None)
    if call.is_endless:
        answer.fault = f"more than {MOST_BODY_BYTES // 2**20} MB"
        return answer
    try:
        if "event-stream" in call.headers.get("content-type", ""):
            decoder = SSEDecoder()
            for event in decoder.feed(bytes(call.body)):
                answer.events += 1
                _take_event(answer, event)
        elif call.is_whole:
            _take(answer, msgspec.json.decode(call.body))
            answer.is_done = answer.finish_reason is not None
    except UNREADABLE as error:
        answer.fault = f"unreadable ({error})"
    return answer


def _take_event(answer: Answer, event: SSEEvent) -> None:
    if answer.is_done:
        answer.fault = "something behind [DONE]"
    elif event.data == b"[DONE]":
        answer.is_done = True
    else:
        _take(answer, msgspec.json.decode(event.data))


def _take(answer: Answer, value: dict[str, Any]) -> None:
    if (error := value.get("error")) is not None:
        kind = error.get("code") or error.get("type") if isinstance(error, dict) else error
        answer.error = str(kind or "error")[:LONGEST_CODE]
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            answer.message = error["message"]
    for choice in value.get("choices") or ():
        said = choice.get("delta") or choice.get("message") or {}
        answer.text += said.get("content") or ""
        reason = choice.get("finish_reason")
        if reason in FAILED:
            answer.error = answer.error or str(reason)
        else:
            answer.finish_reason = reason or answer.finish_reason
