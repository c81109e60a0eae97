"""What a compatible model server is asked, and what it answers.

The format is OpenAI's as llama.cpp, vLLM, LM Studio and hosted servers speak it:
https://platform.openai.com/docs/api-reference/chat/streaming
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from jarvis_trio.errors import UpstreamEOFError, UpstreamError, WireError
from jarvis_trio.events import (
    ChatRequest,
    Delta,
    Finish,
    FinishReason,
    Message,
    Model,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from jarvis_trio.wire.decoding import DEFAULT_LIMIT_BYTES, MALFORMED, FramedDecoder
from jarvis_trio.wire.error_text import decode_error, message_in
from jarvis_trio.wire.json_text import encode_json
from jarvis_trio.wire.sse import SSEDecoder, SSEEvent

__all__ = ["ChatDecoder", "decode_error", "decode_models", "encode_chat_request"]

MAX_NEW: Final = "max_completion_tokens"

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
}


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(Struct, gc=False):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


class _Model(Struct, gc=False):
    id: str
    created: float | None = None
    owned_by: str | None = None


class _ModelList(Struct, gc=False):
    data: list[_Model] | None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_any = msgspec.json.Decoder().decode
_decode_model_list = msgspec.json.Decoder(_ModelList).decode


class ChatDecoder(FramedDecoder[SSEEvent]):
    """Turns the server-sent events of one answer into deltas; a ``DeltaDecoder``.

    The end marker is ``[DONE]``, or a finish reason followed by the end of the bytes. A finish
    reason that OpenAI does not know becomes ``stop``. Choices other than the first are left out. A
    refusal is text. The usage comes at the end, wherever it stood: counting is no sign of life.
    """

    __slots__ = ("_calls", "_is_finished", "_usage")

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        super().__init__(SSEDecoder(limit_bytes))
        self._is_finished = False
        self._usage: Usage | None = None
        self._calls = 0

    def finish(self) -> list[Delta]:
        """Take note that no more bytes will come. An event that no blank line ended is lost."""
        if self.error is None and not self.ended:
            if self._is_finished:
                deltas: list[Delta] = []
                self._end(deltas)
                return deltas
            self.error = UpstreamEOFError("the model server closed before its end marker")
        return []

    def _read(self, event: SSEEvent, deltas: list[Delta]) -> None:
        data = event.data
        if event.event == "error":
            self._fail(decode_error(data))
            return
        if data[:1] == b"[" and data.strip() == b"[DONE]":
            self._end(deltas)
            return
        if not data:
            return
        try:
            chunk = _decode_chunk(data)
            if chunk.error is not None or chunk.choices is None:
                frame = _decode_any(data)
                if chunk.error is not None or "error" in (frame.get("object"), frame.get("type")):
                    self._fail(message_in(frame))
                    return
        except MALFORMED as fault:
            self.error = WireError(f"the model server sent what is not a chat chunk: {fault}")
            return
        for choice in chunk.choices or ():
            if not choice.index:
                self._take(choice, deltas)
        if chunk.usage is not None:
            self._count(chunk.usage)

    def _take(self, choice: _Choice, deltas: list[Delta]) -> None:
        delta = choice.delta
        if delta is not None:
            # A server in transition sends both keys with the same text.
            thought = delta.reasoning_content or delta.reasoning
            if thought:
                deltas.append(Reasoning(thought))
            if delta.content:
                deltas.append(Text(delta.content))
            if delta.refusal:
                deltas.append(Text(delta.refusal))
            if delta.tool_calls:
                calls = map(self._tool_call, delta.tool_calls)
                deltas.extend(call for call in calls if call.id or call.name or call.arguments)
        if choice.finish_reason and not self._is_finished:
            self._is_finished = True
            deltas.append(Finish(_REASONS.get(choice.finish_reason, "stop")))

    def _tool_call(self, call: _ToolCall) -> ToolCall:
        index = call.index
        if index is None:
            # Without an index, an id opens the next call and its absence continues the last.
            index = self._calls if call.id else max(self._calls - 1, 0)
        self._calls = max(self._calls, index + 1)
        function = call.function or _Function()
        return ToolCall(index, call.id or None, function.name or None, function.arguments or "")

    def _count(self, counted: _Usage) -> None:
        usage = Usage(counted.prompt_tokens or 0, counted.completion_tokens or 0)
        if usage != Usage():
            self._usage = usage

    def _end(self, deltas: list[Delta]) -> None:
        if not self._is_finished:
            self._is_finished = True
            deltas.append(Finish("tool_calls" if self._calls else "stop"))
        if self._usage is not None:
            deltas.append(self._usage)
        self.ended = True

    def _fail(self, message: str) -> None:
        self.error = UpstreamError(message or "the model server reported an error")


def encode_chat_request(request: ChatRequest, model: str | None) -> bytes:
    """Return the body of ``POST …/chat/completions``, always streaming and with usage.

    Messages go as the client sent them; ``extra`` is passed on but never replaces a known field.
    ``model`` None leaves the key out.
    """
    known: dict[str, Any] = {
        "model": model,
        # Hosted reasoning models take only the newer name, other servers only the older one: the
        # client's own choice is passed on.
        "max_tokens": None if MAX_NEW in request.extra else request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": request.stop or None,
        "seed": request.seed,
    }
    return encode_json(
        {
            **request.extra,
            **{key: value for key, value in known.items() if value is not None},
            "messages": [message.sent or _message(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def _message(message: Message) -> dict[str, Any]:
    built: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.images:
        images = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
        built["content"] = [{"type": "text", "text": message.text}, *images]
    if message.tool_calls:
        built["content"] = message.text or None
        built["tool_calls"] = [
            {
                "id": call.id or f"call_{call.index}",
                "type": "function",
                "function": {"name": call.name or "", "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        built["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        built["name"] = message.name
    return built


def decode_models(body: bytes) -> list[Model]:
    """Return the models in the answer of ``GET …/models``, in its order.

    Errors: WireError when it is not ``{"data": [{"id": …}, …]}``.
    """
    try:
        listed = _decode_model_list(body).data or []
    except MALFORMED as fault:
        raise WireError(f"the model server sent what is not a list of models: {fault}") from None
    return [
        Model(model.id, int(model.created or 0), model.owned_by or "upstream") for model in listed
    ]
