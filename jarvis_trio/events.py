"""The words of the domain: what is asked, what is answered, how an answer ends.

Pure data, shared by every floor above. A *delta* is one typed piece of an answer as a provider
reads it; an answer is a run of deltas, a finish reason and perhaps a usage.
"""

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Phase(StrEnum):
    """How far an answer has come."""

    QUEUED = "queued"
    CONNECT = "connect"
    PREFILL = "prefill"
    DECODE = "decode"
    FLUSH = "flush"
    ENDED = "ended"


class Cause(StrEnum):
    """Why a stream ended."""

    COMPLETED = "completed"
    SUPERSEDED = "superseded"
    STOPPED = "stopped"
    CLIENT_DISCONNECT = "client_disconnect"
    CLIENT_STALLED = "client_stalled"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_EOF = "upstream_eof"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    SHUTDOWN = "shutdown"

    @property
    def log_reason(self) -> str:
        """The word that the logs use as ``reason=``."""
        return {Cause.SUPERSEDED: "registry_new_stream", Cause.STOPPED: "stop"}.get(self, self)


class Text(Struct, frozen=True, gc=False):
    """A piece of the visible answer."""

    text: str


class Reasoning(Struct, frozen=True, gc=False):
    """A piece of the model's thinking."""

    text: str


class ToolCall(Struct, frozen=True, gc=False):
    """A piece of a tool call; ``arguments`` is a piece of JSON text, joined by ``index``."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Finish(Struct, frozen=True, gc=False):
    """The provider's own end marker: without one, an answer has not ended well."""

    reason: FinishReason


class Usage(Struct, frozen=True, gc=False):
    """Tokens, as the upstream counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


Delta = Text | Reasoning | ToolCall | Finish | Usage


class Message(Struct, frozen=True):
    """One message of a conversation.

    ``text`` joins the text parts; ``images`` are data URLs or URLs, as sent; ``sent`` is the
    client's own object with every key it had, for upstreams that speak the same format.
    """

    role: str
    text: str
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    sent: dict[str, Any] = field(default_factory=dict)


class ChatRequest(Struct, frozen=True):
    """A prompt, checked.

    ``continues`` says that ``messages`` is only the next turn of the conversation that is stored,
    and ``replaces`` from which stream's turn on it takes that conversation's place.
    ``model`` None asks for the upstream's first model. ``extra`` holds every other top-level key
    as the client sent it (``tools``, ``logprobs``, unknown ones): passed on, never refused.
    """

    messages: tuple[Message, ...]
    continues: bool = False
    replaces: str | None = None
    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Model(Struct, frozen=True):
    """A model that an upstream offers; ``created`` is in unix seconds."""

    id: str
    created: int = 0
    owned_by: str = "upstream"


class ChatEvent(Struct, frozen=True):
    """What subscribers of the event bus receive.

    ``data`` by name: ``chat.status`` {status}; ``chat.token`` {text}; ``chat.end`` {cause,
    finish_reason, usage}; ``chat.error`` {cause, code, message}.
    """

    name: Literal["chat.status", "chat.token", "chat.end", "chat.error"]
    stream_id: str
    session_id: str
    trace: str
    data: dict[str, Any]


class Completion(Struct, frozen=True):
    """A whole answer, or as much of it as there was: text joined, tool calls merged by index."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
