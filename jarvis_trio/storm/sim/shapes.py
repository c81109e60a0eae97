"""The JSON that each API speaks; formats as in the projects' own sources.

Token ``i`` of every answer is ``w<i>`` and a blank, so that loss, reordering and duplication show;
in an answer with a name it is ``w<i>@name`` and a blank, so that a mixing of answers shows too.
"""

from datetime import UTC, datetime
from itertools import count
from time import time
from typing import Any, Final, Protocol

from msgspec import Struct, json

from jarvis_trio.storm.sim.asks import Ask

MODIFIED: Final = "2025-01-01T00:00:00Z"
CREATED: Final = 1735689600
GARBAGE: Final = (
    b"<html>\xff\xfe this is no model server </html>\n\n"
    b'data: {"choices": [neither JSON nor an end\n\n'
)
_NUMBERS = count(1)


class End(Struct, frozen=True):
    """How an answer ended well; ``load``, ``prefill`` and ``decode`` took so many nanoseconds."""

    tokens: int
    reason: str
    load: int
    prefill: int
    decode: int


class Shapes(Protocol):
    """One answer in one API's words.

    Above: the answer, which decides what to send and when. Below: bytes for the HTTP body. It does
    not know time, faults or sockets.
    """

    content_type: str

    def opening(self) -> bytes:
        """Say what comes before the first token."""

    def token(self, index: int) -> bytes:
        """Make the line or event of one token."""

    def ending(self, end: End) -> bytes:
        """End a stream honestly."""

    def whole(self, end: End) -> bytes:
        """Make the body of an answer that is not streamed."""

    def failure(self) -> bytes:
        """Fail in mid-stream, with whatever follows the error."""

    def endless(self) -> bytes:
        """Begin a line that need not end."""


def text_of(tokens: int, name: str = "") -> str:
    """Write the text of an answer of so many tokens."""
    return "".join(f"w{index}{_behind(name)}" for index in range(tokens))


class OllamaShapes:
    """NDJSON of ``/api/chat``."""

    content_type = "application/x-ndjson"

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask = ask
        self._name = name
        self._before, after = _line(self._message("@@", done=False)).split(b"@@", 1)
        self._after = _behind(name).encode() + after

    def opening(self) -> bytes:
        """Say nothing: NDJSON needs no opening."""
        return b""

    def token(self, index: int) -> bytes:
        """Make a line."""
        return b"%bw%d%b" % (self._before, index, self._after)

    def ending(self, end: End) -> bytes:
        """Send the line with ``done`` and the durations."""
        return _line(self._last("", end))

    def whole(self, end: End) -> bytes:
        """Send that line with the whole text in it."""
        return json.encode(self._last(text_of(end.tokens, self._name), end))

    def failure(self) -> bytes:
        """Make a last line without ``done``; the status was 200."""
        return _line({"error": "the sim's runner has failed, as asked"})

    def endless(self) -> bytes:
        """Begin a line."""
        return self._before

    def _message(self, text: str, *, done: bool) -> dict[str, Any]:
        return {
            "model": self._ask.model,
            "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "message": {"role": "assistant", "content": text},
            "done": done,
        }

    def _last(self, text: str, end: End) -> dict[str, Any]:
        numbers = {
            "total_duration": end.load + end.prefill + end.decode,
            "load_duration": end.load,
            "prompt_eval_count": self._ask.prompt_tokens,
            "prompt_eval_duration": end.prefill,
            "eval_count": end.tokens,
            "eval_duration": end.decode,
        }
        shown = {name: number for name, number in numbers.items() if number}
        return self._message(text, done=True) | {"done_reason": end.reason} | shown


class OpenAIShapes:
    """Server-sent events and JSON of ``/v1/chat/completions``."""

    content_type = "text/event-stream"

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask = ask
        self._name = name
        self._id = f"chatcmpl-sim-{next(_NUMBERS)}"
        self._created = int(time())
        self._before, after = self._chunk({"content": "@@"}).split(b"@@", 1)
        self._after = _behind(name).encode() + after

    def opening(self) -> bytes:
        """Make the role chunk."""
        return self._chunk({"role": "assistant", "content": ""})

    def token(self, index: int) -> bytes:
        """Make a chunk."""
        return b"%bw%d%b" % (self._before, index, self._after)

    def ending(self, end: End) -> bytes:
        """Make the finish chunk, the usage if it was asked for, and the end marker."""
        usage = b""
        if self._ask.include_usage:
            usage = _event(self._head([]) | {"usage": self._usage(end.tokens)})
        return self._chunk({}, end.reason) + usage + b"data: [DONE]\n\n"

    def whole(self, end: End) -> bytes:
        """Make a ``chat.completion``."""
        message = {"role": "assistant", "content": text_of(end.tokens, self._name)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": end.reason}
        head = self._head([choice]) | {"object": "chat.completion"}
        return json.encode(head | {"usage": self._usage(end.tokens)})

    def failure(self) -> bytes:
        """Make an error event, and the end marker."""
        return _event(openai_error(*ERRORS[500], "the sim's engine has failed, as asked")) + (
            b"data: [DONE]\n\n"
        )

    def endless(self) -> bytes:
        """Begin an event."""
        return self._before

    def _head(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._ask.model,
            "choices": choices,
        }

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._ask.include_usage else {}
        return _event(self._head([choice]) | usage)

    def _usage(self, tokens: int) -> dict[str, int]:
        prompt = self._ask.prompt_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
        }


def shapes_for(ask: Ask, name: str = "") -> Shapes:
    """Choose the shapes of the API that was asked."""
    return OllamaShapes(ask, name) if ask.api == "ollama" else OpenAIShapes(ask, name)


def ollama_error(message: str) -> dict[str, Any]:
    """Say an error before the first byte as Ollama does."""
    return {"error": message}


ERRORS: Final[dict[int, tuple[str, str]]] = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("authentication_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", "internal_error"),
    503: ("unavailable_error", "unavailable"),
}
"""OpenAI's type and code of an error, by its status."""


def openai_error(kind: str, code: str, message: str) -> dict[str, Any]:
    """Say an error as OpenAI does, before the first byte or in mid-stream."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def openai_model(name: str) -> dict[str, Any]:
    """One entry of ``/v1/models``."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "sim"}


def ollama_model(name: str) -> dict[str, Any]:
    """One entry of ``/api/tags``."""
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "sim",
        "families": ["sim"],
        "parameter_size": "0B",
        "quantization_level": "F16",
    }
    return {
        "name": name,
        "model": name,
        "modified_at": MODIFIED,
        "size": 1,
        "digest": "0" * 64,
        "details": details,
    }


def _behind(name: str) -> str:
    """Say what comes behind each token's number."""
    return f"@{name} " if name else " "


def _line(value: dict[str, Any]) -> bytes:
    return json.encode(value) + b"\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.encode(value) + b"\n\n"
