"""The JSON that clients read, as structs: what answers are made of and what describes them.

The format is OpenAI's: https://platform.openai.com/docs/api-reference/chat/object. Chunks are put
together from bytes (:mod:`frames`), for speed; a test checks each of them against ``ChatChunk``.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from jarvis_trio.events import FinishReason


class ErrorDetails(Struct):
    """What went wrong, for people (``message``) and for programs (``type`` and ``code``).

    ``param`` names the field at fault, ``superseded_by`` the stream that took over.
    """

    message: str
    type: str
    param: str | None
    code: str
    superseded_by: str | UnsetType = UNSET


class ErrorAnswer(Struct):
    """Every error, also in the middle of a stream."""

    error: ErrorDetails


class ModelCard(Struct, kw_only=True):
    """A model that can be asked; ``created`` is in unix seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(Struct, kw_only=True):
    """The models that can be asked, in the upstream's order."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class TokenCount(Struct):
    """Tokens, as the model server counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Function(Struct):
    """What the model calls; ``arguments`` is JSON text."""

    name: str
    arguments: str


class FunctionCall(Struct, kw_only=True):
    """A call that the client is to make for the model."""

    id: str
    type: Literal["function"] = "function"
    function: Function


class Answer(Struct, kw_only=True):
    """What the model said; ``content`` is null when it only called tools."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[FunctionCall] | UnsetType = UNSET


class Choice(Struct, kw_only=True):
    """The one answer, and why it ended."""

    index: Literal[0] = 0
    message: Answer
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(Struct, kw_only=True):
    """A whole answer; ``created`` is in unix seconds."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: TokenCount | UnsetType = UNSET


class FunctionPiece(Struct, gc=False, omit_defaults=True):
    """What is new of a function: its name once, its arguments piece by piece."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class FunctionCallPiece(Struct, gc=False, omit_defaults=True):
    """A piece of a call; the pieces of one call have the same ``index``."""

    function: FunctionPiece
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class AnswerPiece(Struct):
    """What is new of an answer."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[FunctionCallPiece] | UnsetType = UNSET


class ChoicePiece(Struct):
    """A piece of the one answer; the last one says why it ended."""

    index: Literal[0]
    delta: AnswerPiece
    logprobs: None
    finish_reason: FinishReason | None


class ChatChunk(Struct):
    """One event of a streamed answer; ``choices`` is empty where ``usage`` counts the tokens."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChoicePiece]
    usage: TokenCount | UnsetType | None = UNSET
