"""Conversations in memory: gone with the process."""

import threading
from collections.abc import Iterable, Sequence
from math import inf
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from jarvis_trio.store.base import (
    BeginTurn,
    DeleteSession,
    EndTurn,
    Place,
    RemoveTurn,
    ReplaceTurns,
    SetTitle,
    StoredMessage,
    StoredSession,
    Write,
)
from jarvis_trio.store.pages import as_far_as_a_page
from jarvis_trio.store.turns import filled, folded, is_place, messages_of, storable, title_of

MOST_SESSIONS: Final = 1000
"""Bounds the memory: past it, the session goes that was written to the longest time ago."""


_Messages = tuple[StoredMessage, ...]


class _Conversation(Struct, frozen=True):
    session: StoredSession
    last_seq: int = 0
    last_stream: str = ""
    messages: _Messages = ()


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
        self,
        owner: str,
        session_id: str,
        *,
        limit: int | None = None,
        after: int | None = None,
        newest_first: bool = False,
    ) -> list[StoredMessage]:
        """Return messages behind the one numbered ``after``, in their order or the other way."""
        found = list(self._messages(owner, session_id))
        if after is not None:
            found = [m for m in found if (m.seq < after if newest_first else m.seq > after)]
        if newest_first:
            found.reverse()
        return as_far_as_a_page(found[:limit])

    def last_messages(
        self, owner: str, session_id: str, *, limit: int, replaced: str | None = None
    ) -> list[StoredMessage]:
        """Return the last ``limit`` messages before the turn ``replaced``, in their order."""
        found = self._messages(owner, session_id)
        if replaced is not None:
            end = _first_seq(found, _origin(found, replaced))
            found = tuple(message for message in found if message.seq < end)
        return list(found[max(0, len(found) - limit) :])

    def _of(self, owner: str | None) -> Iterable[StoredSession]:
        for conversation in self._conversations.values():
            if owner is None or conversation.session.owner == owner:
                yield conversation.session

    def _messages(self, owner: str, session_id: str) -> _Messages:
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
        case ReplaceTurns():
            changed = known and _replace(write, known)
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
    replaces = turn.replaces
    if replaces is not None:
        replaces = _origin(known.messages, replaces)
    new = messages_of(turn, is_first=is_first, last_seq=known.last_seq, replaces=replaces)
    title = title if is_first else known.session.title
    session = replace(known.session, title=title, updated_at=turn.at)
    return _Conversation(session, new[-1].seq, turn.stream_id, (*known.messages, *new))


def _origin(messages: _Messages, stream_id: str) -> str:
    """Return what a turn stands for: itself, if nothing else."""
    its = next((m.replaces for m in messages if m.stream_id == stream_id), None)
    return stream_id if its is None else its


def _first_seq(messages: Iterable[StoredMessage], origin: str) -> float:
    """Return where the turn begins that stands for ``origin``, or infinity."""
    return next((m.seq for m in messages if origin in (m.stream_id, m.replaces)), inf)


def _replace(turn: ReplaceTurns, known: _Conversation) -> _Conversation:
    if known.last_stream != turn.stream_id:
        return known
    own = [message for message in known.messages if message.stream_id == turn.stream_id]
    others = (message for message in known.messages if message.stream_id != turn.stream_id)
    if not own or own[0].replaces is None:
        return known
    end = _first_seq(others, own[0].replaces)
    left = tuple(m for m in known.messages if m.seq < end or m.stream_id == turn.stream_id)
    title = known.session.title
    if title == title_of(_first_prompt(known.messages)):
        title = title_of(_first_prompt(left))
    return replace(known, session=replace(known.session, title=title), messages=left)


def _first_prompt(messages: _Messages) -> str:
    return next((message.text for message in messages if message.role == "user"), "")


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
