"""What the web floor hands down: a prompt, and what makes bytes of its answer."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from jarvis_trio.errors import JarvisError
from jarvis_trio.events import ChatRequest, FinishReason, Reasoning, Text, ToolCall, Usage


class FrameEncoder(Protocol):
    """Turns deltas into the bytes that a client reads. It knows no stream and no socket."""

    def opening(self) -> bytes:
        """Return the frame that says an answer has begun."""
        ...

    def deltas(self, deltas: list[Text | Reasoning | ToolCall], /) -> bytes:
        """Return one frame for all that a batch holds."""
        ...

    def finish(self, reason: FinishReason, usage: Usage | None, /) -> bytes:
        """Return the terminal frame of an answer that came to its end."""
        ...

    def error(self, error: JarvisError, /) -> bytes:
        """Return the terminal frame of an answer that did not."""
        ...

    def split(self, frames: bytes, /) -> list[bytes]:
        """Return the events that ``frames`` are made of, which is what a client counts."""
        ...


class SendOrder(Struct, frozen=True):
    """Which of its client's prompts one is, as that says: the numbers grow."""

    client: str
    number: int

    def follows(self, other: "SendOrder | None") -> bool:
        """Say whether this one was sent after ``other``, by the same client."""
        return other is not None and self.client == other.client and self.number > other.number


class Prompt(Struct, frozen=True):
    """What the web floor hands down: a checked request, and who asks.

    ``owner`` tells keys apart without being one; ``make_encoder`` gets the stream id;
    ``arrived_at`` is when its request began to arrive, on trio's clock; one that ``lives_on`` is
    answered for a while without a reader; ``is_kept`` says that it is a turn of a conversation
    which the history keeps; ``order`` is its client's word on what it sent before.
    """

    request: ChatRequest
    owner: str
    session_id: str
    trace: str
    make_encoder: Callable[[str], FrameEncoder]
    arrived_at: float = 0.0
    lives_on: bool = False
    is_kept: bool = False
    order: SendOrder | None = None

    def is_newer_than(self, other: "Prompt") -> bool:
        """Say whether this one was sent after ``other``: as their client says, or as they came."""
        mine, its = self.order, other.order
        if mine is None or its is None or mine.client != its.client:
            return self.arrived_at > other.arrived_at
        return mine.follows(its)
