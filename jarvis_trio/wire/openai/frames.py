"""What a client reads: chunks of a streaming answer, whole answers, errors and models.

The format is OpenAI's: https://platform.openai.com/docs/api-reference/chat/streaming. There is
never an ``id:``, ``event:`` or ``retry:`` line and never empty data: openai-python fails on them.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, assert_never

from msgspec import UNSET
from msgspec.structs import replace

from jarvis_trio.errors import JarvisError, SupersededError
from jarvis_trio.events import (
    Completion,
    FinishReason,
    Model,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from jarvis_trio.wire.event_ids import split_events
from jarvis_trio.wire.json_text import encode_json
from jarvis_trio.wire.openai.answers import (
    Answer,
    ChatCompletion,
    Choice,
    ErrorAnswer,
    ErrorDetails,
    Function,
    FunctionCall,
    FunctionCallPiece,
    FunctionPiece,
    ModelCard,
    ModelList,
    TokenCount,
)

PING: Final = b": ping\n\n"
"""A comment: keeps a quiet connection open, and no client sees it."""

_DONE: Final = b"data: [DONE]\n\n"


class ChatChunkEncoder:
    """Encodes one streaming answer; every chunk has the same id, model and creation time.

    The order is ``opening``, ``deltas`` …, then one of ``finish`` and ``error``, which end with
    ``[DONE]``. ``created`` is in unix seconds.
    """

    __slots__ = ("_content", "_delta", "_head", "_reasoning", "_tail", "_wants_usage")

    split = staticmethod(split_events)

    def __init__(self, stream_id: str, model: str, created: int, include_usage: bool) -> None:
        head = encode_json(
            {
                "id": stream_id,
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
            }
        )
        self._wants_usage = include_usage
        self._head = b"data: " + head[:-1] + b',"choices":['
        self._delta = self._head + b'{"index":0,"delta":'
        self._content = self._delta + b'{"content":'
        self._reasoning = self._delta + b'{"reasoning_content":'
        usage = b',"usage":null' if include_usage else b""
        self._tail = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"

    def opening(self) -> bytes:
        """Return the chunk that names the role; its content is empty."""
        return self._delta + b'{"role":"assistant","content":""}' + self._tail

    def deltas(self, deltas: Sequence[Text | Reasoning | ToolCall]) -> bytes:
        """Return the chunks for ``deltas``, in their order; b"" when they hold nothing.

        Neighbours of one kind are one chunk; pieces of tool calls are joined where the later one
        brings only arguments.
        """
        if len(deltas) == 1:
            return self._run(deltas)
        return b"".join([self._run(list(run)) for _, run in groupby(deltas, type)])

    def finish(self, reason: FinishReason, usage: Usage | None) -> bytes:
        """Return the good end: finish reason, the usage if asked for and known, ``[DONE]``."""
        null = b',"usage":null' if self._wants_usage else b""
        frames = (
            self._delta
            + b'{},"logprobs":null,"finish_reason":'
            + encode_json(reason)
            + b"}]"
            + null
            + b"}\n\n"
        )
        if self._wants_usage and usage is not None:
            frames += self._head + b'],"usage":' + encode_json(_count(usage)) + b"}\n\n"
        return frames + _DONE

    def error(self, error: JarvisError) -> bytes:
        """Return the bad end: an error frame and ``[DONE]``."""
        return b"data: " + encode_error(error) + b"\n\n" + _DONE

    def _run(self, run: Sequence[Text | Reasoning | ToolCall]) -> bytes:
        first = run[0]
        if isinstance(first, ToolCall):
            calls = _joined(delta for delta in run if isinstance(delta, ToolCall))
            return b"".join(map(self._tool_call, calls))
        text = first.text
        if len(run) > 1:
            text = "".join([delta.text for delta in run if not isinstance(delta, ToolCall)])
        if not text:
            return b""
        match first:
            case Text():
                return self._content + encode_json(text) + b"}" + self._tail
            case Reasoning():
                return self._reasoning + encode_json(text) + b"}" + self._tail
            case _:
                assert_never(first)

    def _tool_call(self, call: ToolCall) -> bytes:
        is_first = call.id is not None or call.name is not None
        piece = FunctionCallPiece(
            index=call.index,
            id=UNSET if call.id is None else call.id,
            type="function" if is_first else UNSET,
            function=FunctionPiece(
                name=UNSET if call.name is None else call.name, arguments=call.arguments
            ),
        )
        return self._delta + b'{"tool_calls":[' + encode_json(piece) + b"]}" + self._tail


def encode_completion(stream_id: str, model: str, created: int, completion: Completion) -> bytes:
    """Return the whole answer as one JSON object; ``created`` is in unix seconds.

    ``content`` is null when there are only tool calls; a tool call without an id is given one.
    """
    calls = [
        FunctionCall(
            id=call.id or f"call_{call.index}", function=Function(call.name or "", call.arguments)
        )
        for call in completion.tool_calls
    ]
    message = Answer(
        content=None if calls and not completion.text else completion.text,
        reasoning_content=completion.reasoning or UNSET,
        tool_calls=calls or UNSET,
    )
    return encode_json(
        ChatCompletion(
            id=stream_id,
            created=created,
            model=model,
            choices=[Choice(message=message, finish_reason=completion.finish_reason or "stop")],
            usage=UNSET if completion.usage is None else _count(completion.usage),
        )
    )


def encode_error(error: JarvisError) -> bytes:
    """Return ``{"error": {"message", "type", "param", "code"}}``.

    ``superseded_by``, the id of the stream that took over, stands beside them when there is one.
    """
    successor = error.superseded_by if isinstance(error, SupersededError) else UNSET
    return encode_json(
        ErrorAnswer(ErrorDetails(error.message, error.type, error.param, error.code, successor))
    )


def encode_models(models: Iterable[Model]) -> bytes:
    """Return the answer of ``GET /v1/models``, in the order given."""
    return encode_json(ModelList(data=[_card(model) for model in models]))


def encode_model(model: Model) -> bytes:
    """Return the answer of ``GET /v1/models/{id}``."""
    return encode_json(_card(model))


def _card(model: Model) -> ModelCard:
    return ModelCard(id=model.id, created=model.created, owned_by=model.owned_by)


def _count(usage: Usage) -> TokenCount:
    return TokenCount(
        usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens
    )


def _joined(calls: Iterable[ToolCall]) -> list[ToolCall]:
    joined: list[ToolCall] = []
    for call in calls:
        last = joined[-1] if joined else None
        if last and last.index == call.index and call.id is None and call.name is None:
            joined[-1] = replace(last, arguments=last.arguments + call.arguments)
        else:
            joined.append(call)
    return joined
