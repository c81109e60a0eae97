"""The built-in model: a readable conversation where there is no model server.

It answers from templates and a small calculator, says so, and paces its tokens as a model would,
so that streaming, stopping and superseding can be tried at once. What it says is in
``simulated_text``; this module is only the provider: options, tokens, pace, endings.
"""

import difflib
import math
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Annotated, cast

import msgspec
import trio
from msgspec import Meta, Struct

from jarvis_trio.errors import ConfigError, ModelNotFoundError
from jarvis_trio.events import ChatRequest, Delta, Finish, FinishReason, Message, Model, Text, Usage
from jarvis_trio.providers.simulated_text import reply

MODEL_ID = "jarvis-simulated"

SCHEME = "simulated:"

MAX_TOKENS_PER_RECEIVE = 64
"""However late or fast the answer is, other tasks get their turn after this many tokens."""

TOKEN = re.compile(r"\S+\s*|\s+")


class SimulatedOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How the built-in model behaves; what the query of a ``simulated:`` URL may set.

    ``tokens_per_second`` 0 is as fast as possible; ``length`` is in tokens, None for as long as
    the answer naturally is.
    """

    tokens_per_second: Annotated[float, Meta(ge=0, le=1_000_000)] = 50
    first_token_ms: Annotated[float, Meta(ge=0, le=600_000)] = 150
    length: Annotated[int, Meta(ge=1, le=100_000)] | None = None


FIELDS = {field.name: field for field in msgspec.structs.fields(SimulatedOptions)}


def parse_simulated(url: str) -> SimulatedOptions:
    """Read ``simulated:`` or ``simulated:?tokens_per_second=50&first_token_ms=200&length=400``.

    Errors: ConfigError, naming the option at fault and the nearest real one, or what would do.
    """
    rest = url.strip().removeprefix(SCHEME)
    if rest == url.strip() or (rest and not rest.startswith("?")):
        raise ConfigError(
            f"{url!r} is not a simulated upstream; write {SCHEME} or {SCHEME}?tokens_per_second=50"
        )
    values: dict[str, float | int | None] = {}
    for option in filter(None, rest.removeprefix("?").split("&")):
        name, _, text = option.partition("=")
        if name not in FIELDS:
            nearest = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0)[0]
            raise ConfigError(f"{name} is not an option of {SCHEME}; did you mean {nearest}?")
        if name in values:
            raise ConfigError(f"{name} is given twice in {url!r}")
        values[name] = _convert(name, text)
    return msgspec.convert(values, SimulatedOptions)


def _convert(name: str, text: str) -> float | int | None:
    try:
        return cast("float | int | None", msgspec.convert(text, FIELDS[name].type, strict=False))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{SCHEME}?{name}={text} cannot be used: {error}") from error


def split_tokens(text: str) -> list[str]:
    """Split a text into words, each with the space that follows it; joined, they are the text."""
    return TOKEN.findall(text)


def stretch(text: str, length: int) -> str:
    """Repeat or cut a text to exactly ``length`` tokens; a text of none stays as it is."""
    tokens = split_tokens(f"{text}\n\n") if text.strip() else []
    return "".join(islice(cycle(tokens), length)).rstrip()


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Cut a text before the earliest of the stop sequences; empty ones stop nothing."""
    found = [text.find(sequence) for sequence in stop if sequence]
    return text[: min((at for at in found if at >= 0), default=len(text))]


class SimulatedProvider:
    """A Provider that needs nothing: it makes its answers up, the same prompt always the same.

    *Errors:* ``chat`` raises ModelNotFoundError for any model but ``jarvis-simulated``.
    """

    name = "simulated model"

    def __init__(self, options: SimulatedOptions | None = None) -> None:
        self.options = options or SimulatedOptions()
        self.default_model: str | None = MODEL_ID
        self._answers = 0

    @asynccontextmanager
    async def chat(self, request: ChatRequest) -> AsyncGenerator["SimulatedAnswer", None]:
        """Give an answer, paced from the moment of entering. Leaving awaits nothing."""
        if request.model not in {None, MODEL_ID}:
            raise ModelNotFoundError(
                f"there is no model {request.model!r} here, only the built-in {MODEL_ID}",
                param="model",
            )
        await trio.lowlevel.checkpoint()
        self._answers += 1
        try:
            yield SimulatedAnswer(request, self.options)
        finally:
            self._answers -= 1

    async def busy(self) -> int:
        """Return how many answers are being made."""
        await trio.lowlevel.checkpoint()
        return self._answers

    async def run(self) -> None:
        """Do nothing: it needs nothing."""
        await trio.sleep_forever()

    async def models(self) -> list[Model]:
        """List the one model, whose id says that it is a simulation."""
        await trio.lowlevel.checkpoint()
        return [Model(id=MODEL_ID, owned_by="jarvis_trio")]


class SimulatedAnswer:
    """One answer: tokens at their times, then ``Finish`` and ``Usage``, then nothing for ever.

    Token i (from 0) is due at start + ``first_token_ms`` + i / ``tokens_per_second``. Each is
    reckoned from the start, so a late reader catches up and nothing drifts.
    """

    def __init__(self, request: ChatRequest, options: SimulatedOptions) -> None:
        text = reply(request.messages)
        if options.length is not None:
            text = stretch(text, options.length)
        tokens = split_tokens(cut_at_stop(text, request.stop))
        reason: FinishReason = "stop"
        if request.max_tokens is not None and len(tokens) > request.max_tokens:
            tokens = tokens[: max(request.max_tokens, 0)]
            reason = "length"
        self._tokens = tokens
        self._sent = 0
        self._end: list[Delta] = [
            Finish(reason),
            Usage(count_words(request.messages), len(tokens)),
        ]
        self._first_due = trio.current_time() + options.first_token_ms / 1000
        self._tokens_per_second = options.tokens_per_second or math.inf

    async def receive(self) -> list[Delta]:
        """Wait for the next token and return what is due by then, at most 64 tokens.

        Cancelled, it has taken nothing from the answer.
        """
        if self._sent == len(self._tokens):
            await trio.lowlevel.checkpoint()
            end, self._end = self._end, []
            return end
        await trio.sleep_until(self._due(self._sent))
        return self.receive_nowait()

    def receive_nowait(self) -> list[Delta]:
        """Return what is due by now, at most 64 tokens."""
        now = trio.current_time()
        limit = min(self._sent + MAX_TOKENS_PER_RECEIVE, len(self._tokens))
        until = self._sent
        while until < limit and self._due(until) <= now:
            until += 1
        due = self._tokens[self._sent : until]
        self._sent = until
        return [Text(token) for token in due]

    async def gather(self, seconds: float) -> None:
        """Wait ``seconds``, or until as many tokens are due as one ``receive`` returns."""
        last = min(self._sent + MAX_TOKENS_PER_RECEIVE, len(self._tokens)) - 1
        await trio.sleep_until(min(trio.current_time() + seconds, self._due(last)))

    def _due(self, index: int) -> float:
        return self._first_due + index / self._tokens_per_second


def count_words(messages: Sequence[Message]) -> int:
    """Count the words of a prompt, nearly: by the gaps between them.

    Splitting would be exact, and hold the event loop for a tenth of a second on a 4 MB prompt.
    """
    texts = [message.text.strip() for message in messages]
    return sum(text.count(" ") + text.count("\n") + 1 for text in texts if text)
