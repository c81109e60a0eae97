"""Request bodies of both APIs, down to what the sim needs to know."""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from jarvis_trio.errors import RequestError

Api = Literal["ollama", "openai"]

_MARKER = re.compile(r"marker:([A-Za-z0-9_.-]+)")


class Ask(Struct, frozen=True):
    """A prompt, as far as the sim looks at it.

    ``limit`` is the most tokens the client wants; ``marker`` the last ``marker:NAME`` in the last
    user message; ``prompt_tokens`` the number of words in all messages.
    """

    api: Api
    model: str
    stream: bool
    include_usage: bool
    limit: int | None
    marker: str | None
    prompt_tokens: int


class _Message(Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class _StreamOptions(Struct):
    include_usage: bool = False


class _OpenAIBody(Struct):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None


class _OllamaOptions(Struct):
    num_predict: int | None = None


class _OllamaBody(Struct):
    messages: list[_Message] = []
    model: str | None = None
    stream: bool | None = None
    options: _OllamaOptions | None = None


def read_openai(body: bytes) -> Ask:
    """Read a body of ``POST /v1/chat/completions``. *Errors:* `RequestError` (400)."""
    sent = _decode(body, _OpenAIBody)
    limits = [n for n in (sent.max_tokens, sent.max_completion_tokens) if n is not None]
    return Ask(
        api="openai",
        model=sent.model or "sim",
        stream=bool(sent.stream),
        include_usage=sent.stream_options is not None and sent.stream_options.include_usage,
        limit=min(limits, default=None),
        marker=_marker(sent.messages),
        prompt_tokens=_words(sent.messages),
    )


def read_ollama(body: bytes) -> Ask:
    """Read a body of ``POST /api/chat``. *Errors:* `RequestError` (400).

    As with Ollama, a stream is the default and a ``num_predict`` below 1 sets no limit.
    """
    sent = _decode(body, _OllamaBody)
    limit = sent.options.num_predict if sent.options else None
    return Ask(
        api="ollama",
        model=sent.model or "sim",
        stream=sent.stream is not False,
        include_usage=True,
        limit=limit if limit is not None and limit > 0 else None,
        marker=_marker(sent.messages),
        prompt_tokens=_words(sent.messages),
    )


class _ShowBody(Struct):
    model: str | None = None
    name: str | None = None


def read_model_name(body: bytes) -> str:
    """Read a body of ``POST /api/show``. *Errors:* `RequestError` (400)."""
    sent = _decode(body, _ShowBody)
    return sent.model or sent.name or "sim"


_Body = TypeVar("_Body", _OpenAIBody, _OllamaBody, _ShowBody)


def _decode(body: bytes, shape: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise RequestError(f"the body is not what this API takes: {error}") from error


def _marker(messages: list[_Message]) -> str | None:
    for message in reversed(messages):
        if message.role == "user":
            found: list[str] = _MARKER.findall(message.text())
            return found[-1] if found else None
    return None


def _words(messages: list[_Message]) -> int:
    return sum(len(message.text().split()) for message in messages)
