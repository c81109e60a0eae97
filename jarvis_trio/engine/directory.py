"""Who is where: live sessions by their names, live streams by their ids. Sync, and only looked at.

Where ``owner`` is None, everybody's are looked at: who may do that is the web floor's to say.
"""

import time

import trio

from jarvis_trio.engine.conversation import title_of
from jarvis_trio.engine.session import Session
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.store.base import StoredSession


class Directory:
    """What lives; :mod:`sessions` enters it here, and takes it out."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], Session] = {}
        self.streams: set[LiveStream] = set()

    def session(self, owner: str | None, session_id: str) -> Session | None:
        """Return a session that has streams."""
        if owner is not None:
            return self.sessions.get((owner, session_id))
        found = (session for session in self.sessions.values() if session.id == session_id)
        return next(found, None)

    def stream(self, owner: str | None, stream_id: str) -> LiveStream | None:
        """Return a live stream by its id."""
        for stream in self.streams:
            if stream.id == stream_id and owner in (None, stream.prompt.owner):
                return stream
        return None

    def current(
        self, owner: str | None, session_id: str, stream_id: str | None = None
    ) -> LiveStream | None:
        """Return the stream that a session answers with, or else that of it which is named."""
        session = self.session(owner, session_id)
        if session is None:
            return None
        named = [stream for stream in session.streams if stream.id == stream_id]
        return [*named, *session.active, *session.streams][0]

    def active(self, owner: str, session_id: str) -> list[LiveStream]:
        """Return a session's live stream, and behind it those that wait, in their order."""
        session = self.session(owner, session_id)
        return [] if session is None else session.active

    def described(self, owner: str | None, session_id: str) -> StoredSession | None:
        """Describe a session that lives as the history would, which may not have it yet."""
        session = self.session(owner, session_id)
        if session is None:
            return None
        prompt = session.streams[0].prompt
        began_at = time.time() - trio.current_time() + prompt.arrived_at
        title = title_of(prompt.request.messages)
        return StoredSession(session.owner, session.id, title, began_at, began_at)
