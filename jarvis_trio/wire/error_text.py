"""The human message in an upstream's refusal, whatever shape the upstream gave it."""

from typing import Any, Final

import msgspec

from jarvis_trio.wire.decoding import MALFORMED

_TEXT_LIMIT: Final = 300
_MESSAGE_LIMIT: Final = 1000
_KEYS: Final = ("error", "message", "detail", "msg")
_MAX_DEPTH: Final = 4

_decode = msgspec.json.Decoder().decode


def decode_error(body: bytes) -> str:
    """Return the message for people in an error body; "" when there is none. Never raises.

    Shapes: ``{"error": {"message": …}}`` (OpenAI, llama.cpp, vLLM), ``{"error": "…"}`` (Ollama),
    ``{"detail": "…"}`` and ``{"detail": [{"msg": …}]}`` (FastAPI), ``{"message": "…"}``, and plain
    text, which is cut to 300 characters.
    """
    try:
        message = message_in(_decode(body))
    except MALFORMED:
        message = ""
    # Four bytes are the most that UTF-8 spends on a character.
    text = body.strip()[: 4 * _TEXT_LIMIT].decode("utf-8", "replace")
    return message or text[:_TEXT_LIMIT].strip()


def message_in(value: Any) -> str:
    """Return the message for people in a decoded error object, or "" when it has none."""
    return _search(value, _MAX_DEPTH).strip()[:_MESSAGE_LIMIT]


def _search(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if depth == 0:
        return ""
    if isinstance(value, dict):
        inner = (value[key] for key in _KEYS if key in value)
    elif isinstance(value, list):
        inner = (item for item in value[:10])
    else:
        return ""
    return next((found for item in inner if (found := _search(item, depth - 1))), "")
