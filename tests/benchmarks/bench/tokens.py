"""The answer that everybody streams: the same tokens, as OpenAI's format has them.

A prompt says what it wants: ``bench MARKER TOKENS FIRST_MS``. Token ``n`` is a word with its number
in it, so that who reads it can tell that nothing is missing, and count without parsing.
"""

import json
import re
from typing import Any, NamedTuple

MODEL = "sim"
TOKENS_PER_SECOND = 50
WORD = b" tok"
"""What each token begins with, and nothing else in an event has."""

_DIFFERENT = 1000
_ASKED = re.compile(rb"bench (\w+) (\d+) (\d+)")


class Asked(NamedTuple):
    """What a prompt wants, and the name it goes by."""

    marker: str
    tokens: int
    first_ms: int

    @property
    def prompt(self) -> str:
        """Return the prompt that asks for it."""
        return f"bench {self.marker} {self.tokens} {self.first_ms}"


def asked(body: bytes) -> Asked | None:
    """Return what a request wants."""
    found = _ASKED.search(body)
    return Asked(found[1].decode(), int(found[2]), int(found[3])) if found else None


def token(number: int) -> str:
    """Return the text of one token."""
    return f"{WORD.decode()}{number % _DIFFERENT:03d}"


def text(tokens: int) -> str:
    """Return the text of a whole answer."""
    return "".join(map(token, range(tokens)))


def _event(delta: dict[str, str], finish_reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {
        "id": "chatcmpl-bench0123456789",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": MODEL,
        "system_fingerprint": "fp_bench",
        "choices": [choice],
        **more,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def end(tokens: int) -> bytes:
    """Return what follows the last token: the finish, the usage, and OpenAI's end marker."""
    used = {"prompt_tokens": 4, "completion_tokens": tokens, "total_tokens": 4 + tokens}
    return _event({}, "stop") + _event({}, choices=[], usage=used) + b"data: [DONE]\n\n"


ROLE = _event({"role": "assistant", "content": ""})
TOKENS = [_event({"content": token(number)}) for number in range(_DIFFERENT)]
MODELS = json.dumps(
    {
        "object": "list",
        "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "bench"}],
    }
).encode()
