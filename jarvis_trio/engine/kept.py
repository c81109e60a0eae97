"""Answers that have ended, kept for a while for clients that were away at their end."""

from functools import partial
from typing import Final

from msgspec import Struct

from jarvis_trio.engine.grace import Grace
from jarvis_trio.engine.replay import Reader, ReplayBuffer
from jarvis_trio.engine.stream import LiveStream

ENTRY_BYTES: Final = 3072
"""About what one weighs beside its frames: many short answers count too."""


class KeptAnswer(Struct, frozen=True):
    """What is needed of an ended stream to read it again; the rest of it is gone."""

    owner: str
    session_id: str
    replay: ReplayBuffer
    size: int

    def attach(self, after: int) -> Reader:
        """Open a reader behind event ``after``. *Errors:* those of :meth:`ReplayBuffer.attach`."""
        return self.replay.attach(after)


class KeptAnswers:
    """Keeps ended streams for the grace, and no more than ``limit_bytes`` of them. Sync."""

    def __init__(self, limit_bytes: int, grace: Grace) -> None:
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._grace = grace
        self._answers: dict[str, KeptAnswer] = {}

    def add(self, stream: LiveStream) -> None:
        """Keep one that has ended; the oldest go if there are too many."""
        stream.replay.compact()
        size = stream.replay.held_bytes + ENTRY_BYTES
        kept = KeptAnswer(stream.prompt.owner, stream.session_id, stream.replay, size)
        self._answers[stream.id] = kept
        self.held_bytes += size
        self._grace.begin(stream.id, partial(self._let_go, stream.id))
        while self.held_bytes > self._limit_bytes:
            self._let_go(next(iter(self._answers)))

    def find(self, owner: str | None, stream_id: str) -> KeptAnswer | None:
        """Return an ended stream by its id; ``owner`` None looks among everybody's."""
        kept = self._answers.get(stream_id)
        return kept if kept is not None and owner in (None, kept.owner) else None

    def _let_go(self, stream_id: str) -> None:
        self._grace.stop(stream_id)
        self.held_bytes -= self._answers.pop(stream_id).size
