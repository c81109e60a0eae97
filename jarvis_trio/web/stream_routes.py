"""One answer by its id: read it again, stop it."""

import re
from typing import Final

from quart import Response, g, request

from jarvis_trio.engine.replay import Reader
from jarvis_trio.engine.resuming import find_answer
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stopping import receipt_of
from jarvis_trio.errors import NotFoundError, RequestError
from jarvis_trio.web.auth import Keys
from jarvis_trio.web.connection import at_end
from jarvis_trio.web.json_response import json_response
from jarvis_trio.web.response_body import (
    EVENT_STREAM,
    UNBUFFERED,
    Keepalive,
    StreamBody,
    respond_with,
)
from jarvis_trio.wire.event_ids import EventNumbers

COUNT: Final = re.compile(r"[0-9]{1,15}")


class NumberedBody(StreamBody):
    """The same frames with an ``id:`` before each event: the numbers that follow ``after``."""

    def __init__(self, reader: Reader, keepalive: Keepalive, after: int) -> None:
        super().__init__(reader, keepalive)
        self._numbers = EventNumbers(after)

    async def __anext__(self) -> bytes:
        return self._numbers.feed(await super().__anext__())


class StreamRoutes:
    """The views. To any other key than its own, a stream does not exist; an admin key sees all."""

    def __init__(self, sessions: Sessions, keys: Keys, keepalive: Keepalive) -> None:
        self._sessions = sessions
        self._keys = keys
        self._keepalive = keepalive

    async def stream(self, stream_id: str) -> Response:
        """GET /v1/streams/{id}: the rest of an answer, from the event that the client names."""
        owner = self._keys.caller(request.headers, request.remote_addr).sees
        after = _events_had()
        answer = find_answer(self._sessions, owner, stream_id)
        g.answer_headers |= {
            "X-Session-Id": answer.session_id,
            "X-Stream-Id": stream_id,
            **UNBUFFERED,
        }
        if request.method == "HEAD":  # which must not keep an answer alive
            answer.replay.place_after(after)
            return Response(b"", content_type=EVENT_STREAM)
        reader = answer.attach(after)
        at_end(reader.leave)
        return respond_with(NumberedBody(reader, self._keepalive, after))

    async def cancel_stream(self, stream_id: str) -> Response:
        """POST /v1/streams/{id}/cancel: Stop; answers when the answer has unwound."""
        owner = self._keys.caller(request.headers, request.remote_addr).sees
        stream = self._sessions.directory.stream(owner, stream_id)
        if stream is not None:
            return json_response(await self._sessions.stop(stream).wait())
        ending = self._sessions.endings.of_stream(owner, stream_id)
        if ending is None:
            raise NotFoundError(f"there is no stream {stream_id!r}")
        return json_response(receipt_of(ending))


def _events_had() -> int:
    """Return how many events the client has had, as it says; the query wins over the header."""
    told = {
        "after": request.args.get("after"),
        "Last-Event-ID": request.headers.get("Last-Event-ID") or None,
    }
    counts = [_count(name, text) for name, text in told.items() if text is not None]
    return counts[0] if counts else 0


def _count(name: str, text: str) -> int:
    if not COUNT.fullmatch(text):
        raise RequestError(f"{name} is the number of an event", param=name)
    return int(text)
