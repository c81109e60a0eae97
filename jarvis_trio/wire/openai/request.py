"""What a client asks for: the body of ``POST /v1/chat/completions``, checked.

The format is OpenAI's, with ``{"prompt": "…"}`` beside it:
https://platform.openai.com/docs/api-reference/chat/create
"""

import re
from codecs import BOM_UTF8
from typing import Any, Final

import msgspec

from jarvis_trio.errors import RequestError
from jarvis_trio.events import ChatRequest, Message
from jarvis_trio.wire.openai.fields import (
    boolean,
    fault,
    integer,
    mapping,
    number,
    sequence,
    string,
    wrong_type,
)
from jarvis_trio.wire.openai.messages import decode_messages

KNOWN: Final = frozenset(
    {
        "messages", "prompt", "replaces", "model", "stream", "stream_options", "max_tokens",
        "temperature", "top_p", "stop", "seed", "n",
    }
)  # fmt: skip
_MAX_NESTING: Final = 100
MAX_MODEL_CHARS: Final = 512
MAX_NEW_TOKENS: Final = 2**31 - 1
MAX_SEED: Final = 2**63 - 1
MAX_TEMPERATURE: Final = 100
MAX_STOPS: Final = 64
MAX_STREAM_ID_CHARS: Final = 128
_MAX_OUTSIDE_STRINGS: Final = 256 * 1024
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')

_decode = msgspec.json.Decoder().decode


def decode_chat_request(body: bytes) -> ChatRequest:
    """Return what the client asks for, checked.

    The body has either ``messages`` or ``prompt``, the next turn of what is stored, which may be
    one that ``replaces`` an earlier one. ``null`` stands for an absent key. Empty stop strings are
    left out. ``max_completion_tokens`` goes before ``max_tokens``, and stays in ``extra`` beside
    the keys that are not read here, as sent.

    Errors: RequestError for whatever else the bytes are, and nothing but RequestError.
    """
    fields = {key: value for key, value in _object(body).items() if value is not None}
    _check_one_choice(fields)
    options = mapping(fields, "stream_options", "stream_options") or {}
    limits = [
        integer(fields, key, least=1, most=MAX_NEW_TOKENS)
        for key in ("max_completion_tokens", "max_tokens")
    ]
    return ChatRequest(
        messages=_conversation(fields),
        continues="messages" not in fields,
        replaces=_replaced(fields),
        model=_model(fields),
        stream=boolean(fields, "stream", "stream"),
        include_usage=boolean(options, "include_usage", "stream_options.include_usage"),
        max_tokens=next((limit for limit in limits if limit is not None), None),
        temperature=number(fields, "temperature", most=MAX_TEMPERATURE),
        top_p=number(fields, "top_p", most=1),
        stop=_stop(fields),
        seed=integer(fields, "seed", least=-MAX_SEED - 1, most=MAX_SEED),
        extra={key: value for key, value in fields.items() if key not in KNOWN},
    )


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise RequestError('the request body is empty: send {"messages": […]}')
    if len(body) > _MAX_OUTSIDE_STRINGS and len(_STRING.sub(b"", body)) > _MAX_OUTSIDE_STRINGS:
        # Numbers and brackets by the megabyte take seconds to read, and hold the interpreter.
        raise RequestError(
            f"the request body holds more than {_MAX_OUTSIDE_STRINGS} bytes outside of strings: "
            "send text, not numbers"
        )
    try:
        fields = _decode(body)
    except UnicodeDecodeError:
        raise RequestError("the request body is not UTF-8: encode it as UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:
        raise RequestError("the request body holds a number too large to read") from None
    except ValueError as error:
        if body.startswith(BOM_UTF8):
            raise RequestError(
                "the request body begins with a byte order mark: send it without"
            ) from None
        raise RequestError(f"the request body must be valid JSON: {error}") from None
    if type(fields) is not dict:
        raise RequestError('the request body must be a JSON object such as {"messages": […]}')
    _check_nesting(fields)
    return fields


def _check_nesting(fields: dict[str, Any]) -> None:
    # What passes here can be encoded again at any depth of our own stack.
    level: list[Any] = [fields]
    for _ in range(_MAX_NESTING):
        level = [
            value
            for outer in level
            for value in (outer.values() if type(outer) is dict else outer)
            if type(value) is dict or type(value) is list
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> RequestError:
    return RequestError(
        f"the request body is nested too deeply: at most {_MAX_NESTING} levels are read"
    )


def _check_one_choice(fields: dict[str, Any]) -> None:
    count = fields.get("n")
    if count is not None and (type(count) is bool or count != 1):
        raise fault("n", "must be 1: send another request for another answer")


def _conversation(fields: dict[str, Any]) -> tuple[Message, ...]:
    sent = sequence(fields, "messages", "messages")
    prompt = string(fields, "prompt", "prompt")
    if sent is not None and prompt is not None:
        raise fault("prompt", "cannot go with messages: send one of the two")
    if sent is not None:
        return decode_messages(sent)
    if prompt is None:
        raise RequestError(
            'the request has no messages: send {"messages": […]} or {"prompt": "…"}',
            param="messages",
        )
    if not prompt.strip():
        raise fault("prompt", "must not be empty")
    return (Message(role="user", text=prompt),)


def _replaced(fields: dict[str, Any]) -> str | None:
    replaced = string(fields, "replaces", "replaces")
    if replaced is None:
        return None
    if "messages" in fields:
        raise fault(
            "replaces", "goes with prompt, not with messages: they are all that the model is sent"
        )
    if not 0 < len(replaced) <= MAX_STREAM_ID_CHARS:
        raise fault("replaces", "must be the X-Stream-Id of an answer")
    return replaced


def _model(fields: dict[str, Any]) -> str | None:
    model = string(fields, "model", "model")
    if model is not None and not 0 < len(model) <= MAX_MODEL_CHARS:
        raise fault(
            "model", f"must have 1 to {MAX_MODEL_CHARS} characters; leave it out for the default"
        )
    return model


def _stop(fields: dict[str, Any]) -> tuple[str, ...]:
    value = fields.get("stop", [])
    strings = [value] if type(value) is str else value
    if type(strings) is not list:
        raise fault("stop", "must be a string or a list of strings")
    if len(strings) > MAX_STOPS:
        raise fault("stop", f"must have at most {MAX_STOPS} strings")
    for index, item in enumerate(strings):
        if type(item) is not str:
            raise wrong_type(f"stop[{index}]", str, item)
    return tuple([item for item in strings if item])
