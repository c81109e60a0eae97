"""The seam between the engine and whatever keeps conversations.

Above: the engine, which decides what is recorded, in which order, and what a new prompt is told of
the past. Below: memory or a database. A store knows nothing of streams that live, of tasks or of
HTTP; ``owner`` is an opaque word, and whoever may see everything asks with ``owner=None``.

It is sync: every call is one unit of work, made in one hop to a thread, and several threads may
call at once. Times are unix seconds.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from jarvis_trio.events import Cause, Completion, Message, ToolCall, Usage


class State(StrEnum):
    """How whole a message is."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class BeginTurn(Struct, frozen=True):
    """A prompt begins to be answered: keep it, and a place behind it for the answer.

    The session is made, with ``title``, if there is none; one without messages takes the title.
    Of ``messages`` a session without any keeps all; one that has some keeps those from ``new_from``
    on, as the ones before are what its client repeats. Then comes an empty answer, which counts as
    ``interrupted`` until :class:`EndTurn`: so it is right also when the process ends now. All of
    them carry ``stream_id``, and ``replaces``: the turn that this one is to stand for, which stays
    until :class:`ReplaceTurns`. Where that one is itself to stand for another, it is the other.
    """

    owner: str
    session_id: str
    stream_id: str
    messages: tuple[Message, ...]
    new_from: int
    title: str
    at: float
    replaces: str | None = None


class ReplaceTurns(Struct, frozen=True):
    """A turn takes its place: the one that it ``replaces`` goes, and every other from there on.

    It may be one that stands for the same turn, and so be gone already. A title that is the first
    prompt's stays that. Fenced like :class:`EndTurn`; nothing goes where nothing is replaced.
    """

    owner: str
    session_id: str
    stream_id: str


class EndTurn(Struct, frozen=True):
    """An answer has ended: fill its place.

    Fenced by the stream: it changes nothing when the turn is gone, when it has been ended already,
    or when a later turn of the session has begun.
    """

    owner: str
    session_id: str
    stream_id: str
    answer: Completion
    state: State
    cause: Cause
    at: float


class RemoveTurn(Struct, frozen=True):
    """A turn goes, prompt and answer; its session stays. Nothing when there is none."""

    owner: str
    session_id: str
    stream_id: str


class SetTitle(Struct, frozen=True):
    """A session is given another title."""

    owner: str
    session_id: str
    title: str
    at: float


class DeleteSession(Struct, frozen=True):
    """A session goes, with all its messages."""

    owner: str
    session_id: str


Write = BeginTurn | ReplaceTurns | EndTurn | RemoveTurn | SetTitle | DeleteSession


class StoredSession(Struct, frozen=True):
    """A conversation. ``updated_at`` is that of its last turn, begun or ended, or title."""

    owner: str
    id: str
    title: str
    created_at: float
    updated_at: float


class StoredMessage(Struct, frozen=True):
    """A message of a conversation; ``seq`` grows along it, with gaps where turns were removed.

    ``text``, ``images``, ``tool_calls``, ``tool_call_id`` and ``name`` are those of
    :class:`~jarvis_trio.events.Message`; ``sent``, the client's own object, is not kept.
    ``replaces`` is its turn's. The rest is an answer's: ``cause`` None says that it has not ended,
    or that the process did first.
    """

    seq: int
    role: str
    text: str
    stream_id: str
    created_at: float
    state: State = State.COMPLETE
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    cause: Cause | None = None
    replaces: str | None = None


class Place(Struct, frozen=True):
    """A place in the list of sessions: right behind the one with these."""

    updated_at: float
    owner: str
    id: str


class Store(Protocol):
    """Keeps conversations.

    *Errors:* of every call but :meth:`close`, StoreUnavailableError when the store cannot be
    reached or is too slow, so that the same may succeed later. Anything else is a bug, or a value
    that it cannot keep, and would fail again.
    """

    name: str
    """What logs and ``/readyz`` call it, such as ``sqlite var/jarvis.db``; holds no secret."""

    def open(self) -> None:
        """Make it ready, with its tables as this version needs them; may be tried again.

        *Errors:* StoreUnavailableError, also for a database of a later version, saying so.
        """
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...

    def apply(self, writes: Sequence[Write]) -> None:
        """Do all of them in this order, or none."""
        ...

    def sessions(
        self, owner: str | None, *, limit: int, after: Place | None = None, search: str = ""
    ) -> list[StoredSession]:
        """Return sessions, the last updated first (then by owner and id, growing).

        ``search`` is looked for in titles, as it is, in any case of its ASCII letters.
        """
        ...

    def session(self, owner: str | None, session_id: str) -> StoredSession | None:
        """Return one; of several owners' by this id, the last updated."""
        ...

    def messages(
        self,
        owner: str,
        session_id: str,
        *,
        limit: int | None = None,
        after: int | None = None,
        newest_first: bool = False,
    ) -> list[StoredMessage]:
        """Return messages behind the one numbered ``after``, in their order or the other way.

        :func:`~jarvis_trio.store.pages.as_far_as_a_page`; ``[]`` for an unknown session.
        """
        ...

    def last_messages(
        self, owner: str, session_id: str, *, limit: int, replaced: str | None = None
    ) -> list[StoredMessage]:
        """Return the last ``limit`` messages, in their order.

        They are those before the turn ``replaced``, or the one that stands for it, if there is one.
        """
        ...
