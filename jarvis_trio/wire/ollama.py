"""Ollama's native chat, both ways: ``POST /api/chat`` and ``GET /api/tags``.

The format is https://github.com/ollama/ollama/blob/main/docs/api.md. The native routes, because
Ollama's ``/v1`` turns an error in mid-answer into an empty chunk with no end.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Struct

from jarvis_trio.errors import (
    RequestError,
    UpstreamEOFError,
    UpstreamError,
    WireError,
)
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
from jarvis_trio.wire.ndjson import LineDecoder

__all__ = ["ChatDecoder", "decode_error", "decode_models", "encode_chat"]

_ROLES: Final = {"developer": "system", "function": "tool"}
_EFFORTS: Final[dict[str, bool | str]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: dict[str, Any] | str | None = None


class _ToolCall(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Line(Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


class _Tag(Struct, gc=False):
    name: str | None = None
    model: str | None = None
    modified_at: str | None = None


class _Tags(Struct, gc=False):
    models: list[_Tag] | None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_tags = msgspec.json.Decoder(_Tags).decode
_decode_any = msgspec.json.Decoder().decode


class ChatDecoder(FramedDecoder[bytes]):
    """Turns the lines of one answer into deltas; a ``DeltaDecoder``.

    The end marker is the line with ``done: true``. Arguments of tool calls become JSON text; a
    call without an id gets one that the same bytes always get again.
    """

    __slots__ = ("_calls",)

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        super().__init__(LineDecoder(limit_bytes))
        self._calls = 0

    def finish(self) -> list[Delta]:
        """Take note that no more bytes will come; read a last line that no LF ended.

        A last line that was cut short is an end without a marker, not malformed bytes.
        """
        if self.ended or self.error is not None:
            return []
        deltas = self.feed(b"\n")
        if isinstance(self.error, WireError) or not (self.ended or self.error):
            self.error = UpstreamEOFError("the model server closed before its end marker")
        return deltas

    def _read(self, line: bytes, deltas: list[Delta]) -> None:
        try:
            read = _decode_line(line)
            if read.message is not None:
                self._take(read.message, line, deltas)
        except MALFORMED as fault:
            self.error = WireError(f"the model server sent what is not a chat line: {fault}")
            return
        if read.error is not None:
            message = message_in(read.error)
            self.error = UpstreamError(message or "the model server reported an error")
        elif read.done:
            self._end(read, deltas)

    def _take(self, message: _Message, line: bytes, deltas: list[Delta]) -> None:
        if message.thinking:
            deltas.append(Reasoning(message.thinking))
        if message.content:
            deltas.append(Text(message.content))
        for call in message.tool_calls or ():
            function = call.function or _Function()
            arguments = function.arguments or {}
            text = arguments if isinstance(arguments, str) else encode_json(arguments).decode()
            index = self._calls
            self._calls += 1
            name = call.id or f"call_{index}_{blake2b(line, digest_size=6).hexdigest()}"
            deltas.append(ToolCall(index, name, function.name, text))

    def _end(self, read: _Line, deltas: list[Delta]) -> None:
        reason: FinishReason = "length" if read.done_reason == "length" else "stop"
        deltas.append(Finish("tool_calls" if self._calls else reason))
        # Ollama leaves out a count of zero.
        if read.prompt_eval_count or read.eval_count:
            deltas.append(Usage(read.prompt_eval_count or 0, read.eval_count or 0))
        self.ended = True


def encode_chat(request: ChatRequest, model: str) -> bytes:
    """Return the body of ``POST /api/chat``, always streaming.

    Of ``extra``, Ollama is given ``tools`` (unless ``tool_choice`` is ``none``),
    ``response_format`` as ``format``, the penalties, ``reasoning_effort`` as ``think``, and its
    own ``think``, ``keep_alive`` and ``options``, which go before what the other fields say.

    Errors: RequestError for an image that is not a base64 data URL: Ollama fetches nothing.
    """
    extra = request.extra
    body: dict[str, Any] = {"model": model, "messages": _messages(request), "stream": True}
    if options := _options(request):
        body["options"] = options
    if (wanted := _format(extra.get("response_format"))) is not None:
        body["format"] = wanted
    if extra.get("tools") and extra.get("tool_choice") != "none":
        body["tools"] = extra["tools"]
    effort = extra.get("reasoning_effort")
    think = extra.get("think", _EFFORTS.get(effort) if isinstance(effort, str) else None)
    if think is not None:
        body["think"] = think
    if "keep_alive" in extra:
        body["keep_alive"] = extra["keep_alive"]
    return encode_json(body)


def _options(request: ChatRequest) -> dict[str, Any]:
    extra = request.extra
    options: dict[str, Any] = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "num_predict": request.max_tokens,
        "stop": request.stop or None,
        "seed": request.seed,
        "frequency_penalty": extra.get("frequency_penalty"),
        "presence_penalty": extra.get("presence_penalty"),
    }
    own = extra.get("options")
    if isinstance(own, dict):
        options.update(own)
    return {key: value for key, value in options.items() if value is not None}


def _format(wanted: Any) -> Any:
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return "json"
    schema = wanted.get("json_schema")
    return schema.get("schema") if isinstance(schema, dict) else None


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    messages = []
    for index, message in enumerate(request.messages):
        for call in message.tool_calls:
            if call.id and call.name:
                names[call.id] = call.name
        messages.append(_message(message, names, f"messages[{index}].content"))
    return messages


def _message(message: Message, names: dict[str, str], path: str) -> dict[str, Any]:
    built: dict[str, Any] = {
        "role": _ROLES.get(message.role, message.role),
        "content": message.text,
    }
    if message.images:
        built["images"] = [_base64(url, path) for url in message.images]
    if message.tool_calls:
        built["tool_calls"] = [
            {"function": {"name": call.name or "", "arguments": _arguments(call.arguments)}}
            for call in message.tool_calls
        ]
    if built["role"] == "tool":
        tool_name = message.name or names.get(message.tool_call_id or "")
        if tool_name:
            built["tool_name"] = tool_name
    return built


def _base64(url: str, path: str) -> str:
    kind, comma, data = url.partition(",")
    if not comma or not kind.startswith("data:") or not kind.endswith(";base64"):
        raise RequestError(
            "this model server takes images only as data URLs (data:image/png;base64,…)",
            param=path,
        )
    return data


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = _decode_any(text or "{}")
    except MALFORMED:
        arguments = text
    # The model wrote this once, perhaps cut short: it may see it again rather than be refused.
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def decode_models(body: bytes) -> list[Model]:
    """Return the models in the answer of ``GET /api/tags``, in its order.

    Errors: WireError when it is not ``{"models": [{"name": …}, …]}``.
    """
    try:
        tags = _decode_tags(body).models or []
    except MALFORMED as fault:
        raise WireError(f"the model server sent what is not a list of models: {fault}") from None
    return [
        Model(name, _unix_seconds(tag.modified_at), "ollama")
        for tag in tags
        if (name := tag.name or tag.model)
    ]


def _unix_seconds(text: str | None) -> int:
    try:
        return max(int(datetime.fromisoformat(text or "").timestamp()), 0)
    except (ValueError, OverflowError):
        return 0
