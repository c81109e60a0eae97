"""What every scenario plays on: the server under test, its witness, and how to ask it."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import trio
from msgspec import Struct

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import Call, Request, calling
from jarvis_trio.storm.lag import LoopLag
from jarvis_trio.storm.target import Target
from jarvis_trio.storm.trial import NotApplicableError
from jarvis_trio.storm.witness import Witness

GOOD = "sim?tps=50&tokens=20"
"""A short, good answer of the mock upstream: 0.4 s."""

BRIEF_TOKENS = 10
BRIEF = f"sim?tps=200&tokens={BRIEF_TOKENS}"
"""A good answer of 0.05 s, where there are many of them."""

MOST_TOKENS = {GOOD: 20, BRIEF: BRIEF_TOKENS}
"""What a model server that is not ours is asked for instead."""

LONG = "sim?tps=50&tokens=1000000"
"""One that nobody reads to its end: it takes longer than anybody's patience, as LOADING does."""

LOADING = "sim?first_ms=10000000"
"""A prompt that is read for so long that nothing of its answer comes."""


class StormOptions(Struct, frozen=True):
    """How hard it blows. ``pid`` is the server's process, where it may be shut down."""

    sessions: int = 50
    prompts: int = 10
    gap_seconds: float = 0.05
    seed: int = 0
    pid: int | None = None
    model: str | None = None
    answer_seconds: float = 5
    soak_seconds: float = 20
    patience_seconds: float = 10.0
    """What any one thing that a correct server does may take."""
    grace_seconds: float = 10.0
    """How long answers may run on when the server is told to go: its own setting."""


class Abilities(Struct):
    """What the server was found to know."""

    models: list[str]
    has_sessions: bool = False


class Stage:
    """One server under test. ``witness`` is None where its upstream is not ours to watch."""

    def __init__(
        self,
        target: Target,
        witness: Witness | None,
        options: StormOptions,
        abilities: Abilities,
        lag: LoopLag,
    ) -> None:
        self.target = target
        self.options = options
        self.abilities = abilities
        self.lag = lag
        self._witness = witness
        self._run = secrets.token_hex(3)
        self._numbers = count(1)

    @property
    def witness(self) -> Witness:
        """The mock upstream. *Errors:* NotApplicableError where there is none."""
        if self._witness is None:
            raise NotApplicableError("needs --sim: the model server's side has to be seen")
        return self._witness

    @property
    def has_witness(self) -> bool:
        """Say whether the upstream can be watched and scripted."""
        return self._witness is not None

    def need_witness(self) -> None:
        """Go on only if the upstream is ours. *Errors:* NotApplicableError."""
        _ = self.witness

    def need_sessions(self) -> None:
        """Go on only if there are some. *Errors:* NotApplicableError."""
        if not self.abilities.has_sessions:
            raise NotApplicableError("the server has no sessions (no X-Session-Id came back)")

    def new_name(self, what: str) -> str:
        """Return a name that no other prompt or session has, of other storms neither."""
        return f"{what}-{self._run}-{next(self._numbers)}"

    def new_session(self) -> str | None:
        """Return the name of a new session, or None where the server has none."""
        return self.new_name("session") if self.abilities.has_sessions else None

    async def script(self, marker: str, behaviour: str) -> None:
        """Have the upstream, where it is ours, do what ``behaviour`` says for that prompt."""
        if self._witness is not None:
            await self._witness.script(behaviour, marker)

    @asynccontextmanager
    async def asking(  # noqa: PLR0913 - what prompts of different scenarios differ in
        self,
        behaviour: str | None = GOOD,
        *,
        marker: str | None = None,
        session: str | None = None,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        most_tokens: int | None = None,
    ) -> AsyncIterator[Call]:
        """Send a prompt; the upstream, where it is ours, does what ``behaviour`` says.

        ``behaviour`` None leaves it at what was scripted for the marker. ``most_tokens`` is for an
        upstream that is not ours. Leaving the block closes the connection.
        """
        request = await self.prepare(
            behaviour,
            marker=marker,
            session=session,
            stream=stream,
            headers=headers,
            receive_buffer=receive_buffer,
            most_tokens=most_tokens,
        )
        async with calling(self.target, request) as call:
            yield call

    async def prepare(  # noqa: PLR0913 - as above
        self,
        behaviour: str | None = GOOD,
        *,
        marker: str | None = None,
        session: str | None = None,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        most_tokens: int | None = None,
    ) -> Request:
        """Tell the upstream, where it is ours, what to do, and return the prompt's request."""
        marker = marker or self.new_name("prompt")
        if behaviour is not None:
            await self.script(marker, behaviour)
        prompt = f"Tell me a long story about the sea. marker:{marker}"
        body: dict[str, Any] = {
            "model": self.options.model or self.abilities.models[0],
            "messages": [{"role": "user", "content": prompt}],
            "stream": stream,
        }
        if most_tokens is None and behaviour is not None:
            most_tokens = MOST_TOKENS.get(behaviour)
        if self._witness is None and most_tokens is not None:
            body["max_tokens"] = most_tokens
        return Request(
            "POST",
            f"{self.target.path}/chat/completions",
            msgspec.json.encode(body),
            ({} if session is None else {"X-Session-Id": session}) | dict(headers or {}),
            receive_buffer,
        )

    async def ask(
        self,
        behaviour: str = GOOD,
        *,
        marker: str | None = None,
        session: str | None = None,
        stream: bool = True,
    ) -> Answer:
        """Send a prompt and read its answer to the end."""
        async with self.asking(behaviour, marker=marker, session=session, stream=stream) as call:
            await call.rest()
            return read_answer(call)

    async def is_all_closed(self) -> bool:
        """Wait until nothing is open at the upstream; say whether that came in time."""
        with trio.move_on_after(self.options.patience_seconds):
            while (await self.witness.counts()).open:  # noqa: ASYNC110 - in another process
                await trio.sleep(0.02)
            return True
        return False
