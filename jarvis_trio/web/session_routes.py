"""Sessions and their streams: stopping them."""

import msgspec
from msgspec import Struct
from quart import Response, request

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stopping import Receipt, receipt_of
from jarvis_trio.errors import NotCurrentError, NotFoundError, RequestError
from jarvis_trio.web.auth import Keys
from jarvis_trio.web.connection import receive_body


class StopRequest(Struct):
    """``stream_id``: the stream that is meant, so that a late stop does not end the next one."""

    stream_id: str | None = None


_decode_stop = msgspec.json.Decoder(StopRequest).decode


class SessionRoutes:
    """The views. To any other key than its own, a session does not exist."""

    def __init__(self, sessions: Sessions, keys: Keys) -> None:
        self._sessions = sessions
        self._keys = keys

    async def cancel_session(self, session_id: str) -> Response:
        """POST /v1/sessions/{id}/cancel: answers when what was live has unwound."""
        owner = self._keys.owner(request.headers, request.remote_addr)
        wanted = _read_stop(await receive_body()).stream_id
        stream = self._sessions.current(owner, session_id, wanted)
        if stream is not None:
            if wanted is not None and wanted != stream.id:
                raise NotCurrentError(
                    f"{wanted} is not what this session is answering with; that is {stream.id}",
                    param="stream_id",
                )
            return respond_with_receipt(await self._sessions.stop(stream).wait())
        ending = self._sessions.endings.of_session(owner, session_id)
        if ending is None:
            raise NotFoundError(f"there is no session {session_id!r} with an answer to stop")
        if wanted is not None and wanted != ending.stream_id:
            raise NotCurrentError(
                f"{wanted} is not what this session answered with last", param="stream_id"
            )
        return respond_with_receipt(receipt_of(ending))


def _read_stop(body: bytes) -> StopRequest:
    if not body:
        return StopRequest()
    try:
        return _decode_stop(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f'send nothing, or {{"stream_id": "…"}}: {error}') from None


def respond_with_receipt(receipt: Receipt) -> Response:
    """Return what a stop is answered with."""
    return Response(msgspec.json.encode(receipt), content_type="application/json")
