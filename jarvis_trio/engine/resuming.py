"""A client that comes back: which answer it may read, and what it is told when that is gone."""

import time

from jarvis_trio.engine.kept import KeptAnswer
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.engine.stream_ids import made_at
from jarvis_trio.errors import NotFoundError, StreamGoneError


def find_answer(sessions: Sessions, owner: str | None, stream_id: str) -> LiveStream | KeptAnswer:
    """Return a stream, live or kept, to attach to; ``owner`` None looks among everybody's.

    Errors: StreamGoneError for what was there once, and for an id so old that nothing of it would
    be; NotFoundError for any other. Another owner's is answered like one that never was.
    """
    stream = sessions.directory.stream(owner, stream_id)
    if stream is not None and not stream.was_abandoned:
        return stream
    kept = sessions.kept.find(owner, stream_id)
    if kept is not None:
        return kept
    is_known = stream is not None or sessions.endings.of_stream(owner, stream_id) is not None
    if is_known or _is_old(stream_id, sessions.grace.seconds):
        raise StreamGoneError("this answer has ended, and is no longer held")
    raise NotFoundError(f"there is no stream {stream_id!r}")


def _is_old(stream_id: str, grace_seconds: float) -> bool:
    made = made_at(stream_id)
    return made is not None and time.time() - made > grace_seconds
