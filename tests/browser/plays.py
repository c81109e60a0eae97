"""Answers that a test writes itself, frame by frame, and what may go wrong with each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import trio


@dataclass(frozen=True)
class Thinks:
    """A piece of reasoning."""

    text: str


@dataclass(frozen=True)
class Gate:
    """The answer waits here until the test opens the gate of that name."""

    name: str


@dataclass(frozen=True)
class Pause:
    """The answer takes so long for its next piece: a pace, nothing that a test waits for."""

    seconds: float


@dataclass(frozen=True)
class Foreign:
    """A piece of text in a frame that names another stream."""

    text: str
    stream_id: str = "str_00000000000000000000FOREIGN"


@dataclass(frozen=True)
class Fails:
    """An error frame, and no more."""

    code: str
    message: str


SUPERSEDED = ("interrupted", "superseded")

Step = str | Thinks | Gate | Pause | Foreign | Fails


@dataclass(frozen=True)
class Play:
    """What the server does about one prompt; by itself it answers well.

    ``status`` other than 200 is a refusal, with ``code``; 0 is a connection that is reset.
    ``cut_after`` ends the POST's body behind so many events, cleanly or not, while the answer goes
    on. ``repeats`` is how many events too many each re-attachment is given. Without ``is_done``
    the body ends behind the last step, cleanly. The headers wait for ``headers_wait_for``.
    """

    steps: Sequence[Step] = ()
    status: int = 200
    code: str = ""
    message: str = "the server is played"
    cut_after: int | None = None
    cut_is_clean: bool = False
    repeats: int = 0
    is_done: bool = True
    headers_wait_for: Gate | None = None


def numbered(name: str, count: int = 40, seconds: float = 0.02) -> list[Step]:
    """Return words that each say whose they are and which, so that none can be lost or astray."""
    steps: list[Step] = []
    for number in range(count):
        steps += [f"w{number}@{name} ", Pause(seconds)]
    return steps


def words(name: str, count: int = 40) -> list[str]:
    """Return what a reader of :func:`numbered` has read."""
    return [f"w{number}@{name}" for number in range(count)]


def in_pieces(text: str, size: int, seconds: float = 0.0) -> list[Step]:
    """Return a text in pieces of ``size`` characters, which split its constructs anywhere."""
    steps: list[Step] = []
    for start in range(0, len(text), size):
        steps += [text[start : start + size], Pause(seconds)]
    return steps


@dataclass(eq=False)
class Answer:
    """One turn: its prompt, and the events of its answer, which any number of readers follow.

    ``kept`` is what the history has of an answer that runs on although another prompt took over,
    or although it was stopped.
    """

    number: int
    session: str
    prompt: str
    play: Play
    events: list[bytes] = field(default_factory=list)
    text: str = ""
    kept: str | None = None
    reasoning: str = ""
    state: str = "streaming"
    cause: str | None = None
    is_over: bool = False
    has_begun: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    changed: trio.Event = field(default_factory=trio.Event)

    @property
    def stream_id(self) -> str:
        return f"str_{self.number:026d}"

    def add(self, event: bytes) -> None:
        self.events.append(event)
        self._wake()

    def add_chunk(
        self, delta: dict[str, str], finish: str | None = None, stream_id: str | None = None
    ) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        name = stream_id or self.stream_id
        self.add_json({"id": name, "object": "chat.completion.chunk", "choices": [choice]})

    def add_json(self, data: dict[str, Any]) -> None:
        self.add(b"data: %b\n\n" % json.dumps(data).encode())

    def add_error(self, code: str, message: str, **more: str) -> None:
        error = {"message": message, "type": "server_error", "param": None, "code": code, **more}
        self.add_json({"error": error})

    def end(self, state: str, cause: str, *, is_done: bool = True) -> None:
        """End it for all readers; the first end counts."""
        if self.is_over:
            return
        self.state, self.cause, self.is_over = state, cause, True
        if is_done:
            self.events.append(b"data: [DONE]\n\n")
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def event(self, number: int) -> bytes | None:
        """Return an event, counted from 1, when it is there; None when it will never be."""
        while number > len(self.events):
            if self.is_over:
                return None
            await self.changed.wait()
        return self.events[number - 1]

    def messages(self) -> list[dict[str, Any]]:
        """Return the turn as the history has it."""
        common = {"stream_id": self.stream_id, "created_at": 1_700_000_000 + self.number}
        prompt = {"seq": 2 * self.number - 1, "role": "user", "content": self.prompt}
        text = self.text if self.kept is None else self.kept
        state, cause = (self.state, self.cause) if self.kept is None else SUPERSEDED
        answer = {"seq": 2 * self.number, "role": "assistant", "content": text}
        if self.reasoning:
            answer["reasoning"] = self.reasoning
        return [
            {**prompt, **common, "state": "complete", "cause": None},
            {**answer, **common, "state": state, "cause": cause},
        ]
