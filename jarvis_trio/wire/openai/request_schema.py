"""The body of ``POST /v1/chat/completions`` described, for the API's own document.

:mod:`request` reads it by hand, for speed and for errors that say what would do; these structs say
the same to people and tools, and a test holds the two together. Keys that are not named here are
taken and passed on, and ``null`` stands for an absent key.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from jarvis_trio.wire.openai.messages import MAX_MESSAGES, STANDS_FOR_CONTENT, Role
from jarvis_trio.wire.openai.request import (
    MAX_MODEL_CHARS,
    MAX_NEW_TOKENS,
    MAX_SEED,
    MAX_STOPS,
    MAX_STREAM_ID_CHARS,
    MAX_TEMPERATURE,
)

REF_TEMPLATE: Final = "#/components/schemas/{name}"
"""Where the document keeps what is described here."""


def _any_of(*kinds: type[Struct], **rules: Any) -> Meta:
    """Say what msgspec has no union for: structs that no one key tells apart.

    ``rules`` hold for the last of them.
    """
    schemas: list[dict[str, Any]] = [
        {"$ref": REF_TEMPLATE.format(name=kind.__name__)} for kind in kinds
    ]
    schemas[-1] |= rules
    return Meta(extra_json_schema={"anyOf": schemas})


class ImageURL(Struct):
    """Where an image is: a data URL, or an address that the model server fetches."""

    url: str


class TextPart(Struct):
    """A part of a message: text."""

    type: Literal["text"]
    text: str


class ImagePart(Struct):
    """A part of a message: an image."""

    type: Literal["image_url"]
    image_url: ImageURL | str


class OtherPart(Struct):
    """A part of another type: not read, only passed on."""

    type: Annotated[str, Meta(extra_json_schema={"not": {"enum": ["text", "image_url"]}})]


class PastFunction(Struct):
    """What the model called; ``arguments`` is JSON text."""

    name: str
    arguments: str | None = None


class PastFunctionCall(Struct):
    """An earlier call of a function by the model."""

    function: PastFunction
    id: str | None = None
    type: Any = "function"


class PastOtherCall(Struct):
    """An earlier call of something else: not read, only passed on."""

    type: Annotated[str, Meta(extra_json_schema={"not": {"const": "function"}})]
    function: None = None


class _About(Struct, kw_only=True):
    name: str | None = None
    tool_calls: list[Annotated[Any, _any_of(PastFunctionCall, PastOtherCall)]] | None = None
    tool_call_id: str | None = None


class Message(_About, kw_only=True):
    """One message of the conversation."""

    role: Role
    content: str | list[Annotated[Any, _any_of(TextPart, ImagePart, OtherPart)]]


class WordlessMessage(_About, kw_only=True):
    """What an assistant did in place of saying something."""

    role: Literal["assistant"]
    content: None = None


_EMPTY: Final[list[Any]] = [None, False, 0, "", [], {}]
_STANDS_FOR_CONTENT: Final = [
    {"required": [key], "properties": {key: {"not": {"enum": _EMPTY}}}}
    for key in STANDS_FOR_CONTENT
]


class StreamOptions(Struct):
    """Whether a last chunk counts the tokens."""

    include_usage: bool | None = None


Limit = Annotated[int, Meta(ge=1, le=MAX_NEW_TOKENS)]


class _Options(Struct, kw_only=True):
    model: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_CHARS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Limit | None = None
    max_tokens: Limit | None = None
    temperature: Annotated[float, Meta(ge=0, le=MAX_TEMPERATURE)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=MAX_STOPS)] | None = None
    seed: Annotated[int, Meta(ge=-MAX_SEED - 1, le=MAX_SEED)] | None = None
    n: Literal[1] | None = None


class ChatRequest(_Options, kw_only=True):
    """A conversation to go on with, as OpenAI's clients send it."""

    messages: Annotated[
        list[Annotated[Any, _any_of(Message, WordlessMessage, anyOf=_STANDS_FOR_CONTENT)]],
        Meta(min_length=1, max_length=MAX_MESSAGES),
    ]
    prompt: None = None
    replaces: None = None


class PromptRequest(_Options, kw_only=True):
    """The next turn of the session's conversation, which is more than white space.

    ``replaces`` names the stream whose turn, with every later one, it takes the place of.
    """

    prompt: Annotated[str, Meta(pattern=r"\S")]
    replaces: Annotated[str, Meta(min_length=1, max_length=MAX_STREAM_ID_CHARS)] | None = None
    messages: None = None


REQUEST: Final = (ChatRequest, PromptRequest)
"""The ways to ask."""

MENTIONED: Final = (
    Message, WordlessMessage, TextPart, ImagePart, OtherPart, PastFunctionCall, PastOtherCall,
)  # fmt: skip
"""What they refer to by name, where msgspec does not see it."""
