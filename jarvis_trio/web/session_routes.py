"""Sessions and their streams: seeing them, naming, deleting and stopping them."""

import time
from typing import TypeVar

import msgspec
from msgspec import Struct
from quart import Response, request

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stopping import receipt_of
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import NotCurrentError, NotFoundError, RequestError
from jarvis_trio.store.base import SetTitle, StoredSession
from jarvis_trio.store.pages import a_page_of
from jarvis_trio.web.auth import Caller, Keys
from jarvis_trio.web.connection import receive_body
from jarvis_trio.web.identifiers import IDENTIFIER
from jarvis_trio.web.json_response import json_response
from jarvis_trio.web.session_answers import (
    MessagePage,
    SessionDeleted,
    SessionPage,
    TitleChange,
    decode_cursor,
    encode_cursor,
    message_card,
    session_card,
)

MAX_SESSIONS = 100
MAX_MESSAGES = 1000
MAX_SEARCH_CHARS = 200
MAX_SEQ = 2**63 - 1
ORDERS = ("asc", "desc")

T = TypeVar("T")


class StopRequest(Struct):
    """``stream_id``: the stream that is meant, so that a late stop does not end the next one."""

    stream_id: str | None = None


class SessionRoutes:
    """The views. To any other key than its own, a session does not exist; an admin key sees all."""

    def __init__(self, sessions: Sessions, keys: Keys) -> None:
        self._sessions = sessions
        self._history = sessions.history
        self._directory = sessions.directory
        self._keys = keys

    async def list_sessions(self) -> Response:
        """GET /v1/sessions: the last updated first, page by page."""
        caller = self._caller()
        limit = _count("limit", default=20, most=MAX_SESSIONS)
        cursor = request.args.get("cursor")
        found = await self._history.sessions(
            None if caller.is_admin else caller.owner,
            limit=limit + 1,
            after=decode_cursor(cursor) if cursor else None,
            search=request.args.get("search", "").replace("\0", "")[:MAX_SEARCH_CHARS],
        )
        page, has_more = found[:limit], len(found) > limit
        return json_response(
            SessionPage(
                data=[session_card(session, self._active(session)) for session in page],
                has_more=has_more,
                next_cursor=encode_cursor(page[-1]) if has_more else None,
            )
        )

    async def session(self, session_id: str) -> Response:
        """GET /v1/sessions/{id}."""
        session = await self._find(session_id)
        return json_response(session_card(session, self._active(session), tells_prompts=True))

    async def messages(self, session_id: str) -> Response:
        """GET /v1/sessions/{id}/messages: from the first on, or the last, page by page."""
        session = await self._find(session_id)
        limit = _count("limit", default=100, most=MAX_MESSAGES)
        after = _count("after", default=None, most=MAX_SEQ, least=0)
        order = request.args.get("order", "asc")
        if order not in ORDERS:
            raise RequestError(f"order is {' or '.join(ORDERS)}", param="order")
        found = await self._history.messages(
            session.owner, session.id, limit=limit + 1, after=after, newest_first=order == "desc"
        )
        page, has_more = a_page_of(found, limit)
        live = {stream.id for stream in self._directory.streams if stream.cause is None}
        cards = [
            message_card(message, is_live=message.role == "assistant" and message.stream_id in live)
            for message in page
        ]
        return json_response(MessagePage(data=cards, has_more=has_more))

    async def rename(self, session_id: str) -> Response:
        """PATCH /v1/sessions/{id}: give it another title."""
        session = await self._find(session_id)
        title = _decode(await receive_body(), TitleChange, '{"title": "…"}').title.strip()
        await self._history.change(SetTitle(session.owner, session.id, title, time.time()))
        return await self.session(session_id)

    async def delete(self, session_id: str) -> Response:
        """DELETE /v1/sessions/{id}: what is live in it is stopped first."""
        session = await self._find(session_id)
        await self._sessions.delete(session.owner, session.id)
        return json_response(SessionDeleted(id=session.id))

    async def cancel_session(self, session_id: str) -> Response:
        """POST /v1/sessions/{id}/cancel: answers when what was live has unwound."""
        caller = self._caller()
        body = await receive_body()
        wanted = _decode(body, StopRequest, 'nothing, or {"stream_id": "…"}').stream_id
        for owner in caller.owners:
            stream = self._directory.current(owner, session_id, wanted)
            if stream is not None:
                if wanted is not None and wanted != stream.id:
                    raise NotCurrentError(
                        f"{wanted} is not what this session is answering with; that is {stream.id}",
                        param="stream_id",
                    )
                return json_response(await self._sessions.stop(stream).wait())
            ending = self._sessions.endings.of_session(owner, session_id)
            if ending is not None:
                if wanted is not None and wanted != ending.stream_id:
                    raise NotCurrentError(
                        f"{wanted} is not what this session answered with last",
                        param="stream_id",
                    )
                return json_response(receipt_of(ending))
        raise NotFoundError(f"there is no session {session_id!r} with an answer to stop")

    def _caller(self) -> Caller:
        return self._keys.caller(request.headers, request.remote_addr)

    def _active(self, session: StoredSession) -> list[LiveStream]:
        return self._directory.active(session.owner, session.id)

    async def _find(self, session_id: str) -> StoredSession:
        """Return a session that the caller may see. *Errors:* NotFoundError, saying no more."""
        caller = self._caller()
        for owner in caller.owners if IDENTIFIER.fullmatch(session_id) else ():
            found = await self._history.session(owner, session_id)
            if found := found or self._directory.described(owner, session_id):
                return found
        raise NotFoundError(f"there is no session {session_id!r}")


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"send {what}: {error}") from None


D = TypeVar("D", int, int | None)


def _count(name: str, *, default: D, most: int, least: int = 1) -> int | D:
    text = request.args.get(name)
    if text is None:
        return default
    is_short = len(text) <= len(str(most))  # int() refuses thousands of digits
    if not (is_short and text.isascii() and text.isdecimal() and least <= int(text) <= most):
        raise RequestError(f"{name} is a whole number from {least} to {most}", param=name)
    return int(text)
