"""What an answer does, read from the name of its model: ``sim-stall?at=3&tps=50``."""

from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct

from jarvis_trio.errors import ModelNotFoundError, RequestError

MOST_TOKENS: Final = 1_000_000
"""The longest answer: a whole one is made in memory."""


class Fault(StrEnum):
    """The base names of the models: what goes wrong in the answer."""

    NONE = "sim"
    HANG = "sim-hang"
    SILENT = "sim-silent"
    STALL = "sim-stall"
    DIE = "sim-die"
    EOF = "sim-eof"
    TRUNCATE = "sim-truncate"
    ERROR = "sim-error"
    GARBAGE = "sim-garbage"
    REFUSE = "sim-refuse"
    ENDLESS_LINE = "sim-endless-line"


REFUSALS: Final = frozenset({400, 401, 404, 429, 500, 503})


class SimOptions(Struct, frozen=True):
    """What an answer does unless its model's name says otherwise.

    ``tokens_per_second`` 0 is as fast as possible; ``headers_ms`` counts from the request's last
    byte, ``first_token_ms`` from the headers; ``tokens`` is the length of an answer. Each token
    is up to ``jitter_ms`` late, by a pattern that is the same in every answer.
    """

    tokens_per_second: float = 50.0
    headers_ms: float = 0.0
    first_token_ms: float = 0.0
    tokens: int = 100
    jitter_ms: float = 0.0


class Scenario(Struct, frozen=True):
    """One answer's course.

    ``at`` is the token (for `Fault.DIE`: the byte of the body) after which the fault comes;
    ``status`` is that of a refusal. After an answer that ``closes``, so does its connection;
    ``is_named`` puts the prompt's marker behind each token.
    """

    fault: Fault
    tokens_per_second: float
    headers_seconds: float
    first_token_seconds: float
    tokens: int
    at: int
    status: int
    jitter_seconds: float = 0.0
    closes: bool = False
    is_named: bool = False


def read_scenario(model: str, options: SimOptions) -> Scenario:
    """Read what the model ``name?key=value&…`` does; a tag ``:latest`` is ignored.

    *Errors:* `ModelNotFoundError` for a name that is not a `Fault`; `RequestError` (400) for a key
    or value that means nothing.
    """
    name, _, query = model.partition("?")
    try:
        fault = Fault(name.removesuffix(":latest"))
    except ValueError:
        raise ModelNotFoundError(f"model '{name}' not found") from None
    keys = dict(parse_qsl(query, keep_blank_values=True))
    tokens = int(_take(keys, "tokens", options.tokens, most=MOST_TOKENS))
    scenario = Scenario(
        fault=fault,
        tokens_per_second=_take(keys, "tps", options.tokens_per_second),
        headers_seconds=_take(keys, "headers_ms", options.headers_ms) / 1000,
        first_token_seconds=_take(keys, "first_ms", options.first_token_ms) / 1000,
        tokens=tokens,
        at=int(_take(keys, "at", _default_at(fault, tokens))),
        status=int(_take(keys, "status", 503)),
        jitter_seconds=_take(keys, "jitter_ms", options.jitter_ms) / 1000,
        closes=bool(_take(keys, "close", 0, most=1)),
        is_named=bool(_take(keys, "named", 0)),
    )
    if keys:
        raise RequestError(
            f"model key '{min(keys)}' means nothing: use tps, headers_ms, first_ms, tokens, at,"
            " status, jitter_ms, close or named"
        )
    if scenario.status not in REFUSALS:
        raise RequestError(f"status must be one of {sorted(REFUSALS)}")
    return scenario


def _default_at(fault: Fault, tokens: int) -> int:
    match fault:
        case Fault.DIE:
            return 500
        case Fault.GARBAGE | Fault.ENDLESS_LINE:
            return 0
        case _:
            return tokens // 2


def _take(keys: dict[str, str], key: str, default: float, *, most: float = 1e9) -> float:
    """Remove ``key`` and give its number."""
    if key not in keys:
        return default
    text = keys.pop(key)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise RequestError(f"model key '{key}' must be a number from 0 to {most:.0f}, not '{text}'")
    return number
