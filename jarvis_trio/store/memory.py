"""Conversations in memory: gone with the process."""

import threading
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from jarvis_trio.store.base import (
    BeginTurn,
    DeleteSession,
    EndTurn,
    Place,
    RemoveTurn,
    SetTitle,
    StoredMessage,
    StoredSession,
    Write,
)
from jarvis_trio.store.turns import filled, folded, is_place, messages_of, storable

MOST_SESSIONS: Final = 1000
"""Bounds the memory: past it, the session goes that was written to the longest time ago."""


class _Conversation(Struct, frozen=True):
    session: StoredSession
    last_seq: int = 0
    last_stream: str = ""
    messages: tuple[StoredMessage, ...] = ()


_Key = tuple[str, str]
_Conversations = dict[_Key, _Conversation]
"""The last written comes last."""


class MemoryStore:
    """Keeps the ``most_sessions`` conversations that were last written to, and forgets the others.

    Conversations are never changed, only replaced: readers take the whole as it is and need no
    lock, and a batch of writes takes effect in one assignment.
    """

    name = "memory"

    def __init__(self, most_sessions: int = MOST_SESSIONS) -> None:
        self._most_sessions = most_sessions
        self._writing = threading.Lock()
        self._conversations: _Conversations = {}

    def open(self) -> None:
        """Do nothing: memory is there."""

    def close(self) -> None:
        """Forget everything."""
        self._conversations = {}

    def apply(self, writes: Sequence[Write]) -> None:
        """Do all of them in this order, or none."""
        with self._writing:
            conversations = self._conversations.copy()
            for write in writes:
                _do(write, conversations)
            for key in list(conversations)[: -self._most_sessions]:
                del conversations[key]
            self._conversations = conversations

    def sessions(
        self, owner: str | None, *, limit: int, after: Place | None = None, search: str = ""
    ) -> list[StoredSession]:
        """Return sessions, the last updated first (then by owner and id, growing)."""
        wanted = folded(search)
        found = [s for s in self._of(owner) if wanted in folded(s.title)]
        if after is not None:
            behind = _place(after)
            found = [session for session in found if _place(session) > behind]
        return sorted(found, key=_place)[:limit]

    def session(self, owner: str | None, session_id: str) -> StoredSession | None:
        """Return one; of several owners' by this id, the last updated."""
        return min((s for s in self._of(owner) if s.id == session_id), key=_place, default=None)

    def messages(
        self, owner: str, session_id: str, *, limit: int | None = None, after: int = 0
    ) -> list[StoredMessage]:
        """Return messages with ``seq > after``, in their order; ``[]`` for an unknown session."""
        found = [m for m in self._messages(owner, session_id) if m.seq > after]
        return found[:limit]

    def last_messages(self, owner: str, session_id: str, *, limit: int) -> list[StoredMessage]:
        """Return the last ``limit`` messages, in their order."""
        found = self._messages(owner, session_id)
        return list(found[max(0, len(found) - limit) :])

    def _of(self, owner: str | None) -> Iterable[StoredSession]:
        for conversation in self._conversations.values():
            if owner is None or conversation.session.owner == owner:
                yield conversation.session

    def _messages(self, owner: str, session_id: str) -> tuple[StoredMessage, ...]:
        conversation = self._conversations.get((owner, session_id))
        return () if conversation is None else conversation.messages


def _place(at: Place | StoredSession) -> tuple[float, str, str]:
    return -at.updated_at, at.owner, at.id


def _do(write: Write, conversations: _Conversations) -> None:
    key = write.owner, write.session_id
    known = conversations.pop(key, None)
    match write:
        case BeginTurn():
            changed: _Conversation | None = _begin(write, known)
        case EndTurn():
            changed = known and _end(write, known)
        case RemoveTurn():
            changed = known and _remove(write, known)
        case SetTitle():
            changed = known and replace(
                known,
                session=replace(known.session, title=storable(write.title), updated_at=write.at),
            )
        case DeleteSession():
            changed = None
        case never:
            assert_never(never)
    if changed is not None:
        conversations[key] = changed


def _begin(turn: BeginTurn, known: _Conversation | None) -> _Conversation:
    title = storable(turn.title)
    if known is None:
        session = StoredSession(turn.owner, turn.session_id, title, turn.at, turn.at)
        known = _Conversation(session)
    if any(message.stream_id == turn.stream_id for message in known.messages):
        return replace(known, last_stream=turn.stream_id)
    is_first = not known.messages
    new = messages_of(turn, is_first=is_first, last_seq=known.last_seq)
    title = title if is_first else known.session.title
    session = replace(known.session, title=title, updated_at=turn.at)
    return _Conversation(session, new[-1].seq, turn.stream_id, (*known.messages, *new))


def _end(end: EndTurn, known: _Conversation) -> _Conversation:
    if known.last_stream != end.stream_id:
        return known
    for index, message in enumerate(known.messages):
        if message.stream_id == end.stream_id and is_place(message):
            before, after = known.messages[:index], known.messages[index + 1 :]
            return replace(
                known,
                session=replace(known.session, updated_at=end.at),
                messages=(*before, filled(message, end), *after),
            )
    return known


def _remove(turn: RemoveTurn, known: _Conversation) -> _Conversation:
    left = tuple(message for message in known.messages if message.stream_id != turn.stream_id)
    return replace(known, messages=left)
