"""The server's routes, as a client calls them: what comes back, or one sentence why not.

Above: conversations. Below: httpx, whose errors end here. It knows nothing of terminals.
"""

import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import trio
from msgspec import Struct

from jarvis_trio.chat.answer import AnswerDecoder, Failure, Piece, read_failure
from jarvis_trio.errors import JarvisError
from jarvis_trio.wire.decoding import MALFORMED
from jarvis_trio.wire.error_text import decode_error

CONNECT_SECONDS: Final = 10.0

QUIET_SECONDS: Final = 120.0
"""A server that writes an answer sends a comment every few seconds; this one has gone."""

MOST_REFUSAL_BYTES: Final = 64 * 1024


Kind = TypeVar("Kind")


class ChatError(JarvisError):
    """A request came to nothing; the message is a sentence for people."""

    code = "chat_error"

    def __init__(self, failure: Failure, http_status: int = 0) -> None:
        super().__init__(failure.message)
        self.code = failure.code
        self.http_status = http_status


class Question(Struct, frozen=True):
    """One turn of a session. ``policy`` None leaves it to the server."""

    prompt: str
    session_id: str
    model: str | None = None
    policy: str | None = None


class Receipt(Struct, frozen=True):
    """What the server saw of a stop; durations in milliseconds."""

    status: str = "unconfirmed"
    cause: str = "stopped"
    upstream_closed_ms: float | None = None
    backend_idle_ms: float | None = None


class SessionEntry(Struct, frozen=True):
    """A session in the list; ``updated_at`` is in unix seconds."""

    id: str
    title: str | None = None
    updated_at: float | None = None
    active_stream_id: str | None = None

    @property
    def updated(self) -> str:
        """When that was, on the clock of who reads it."""
        if self.updated_at is None:
            return ""
        try:
            then = datetime.fromtimestamp(self.updated_at, UTC).astimezone()
        except (ValueError, OverflowError, OSError):  # no year that there is
            return ""
        return then.strftime("%Y-%m-%d %H:%M")


class SessionList(Struct, frozen=True):
    """The newest sessions; ``has_more`` says that there are older ones."""

    data: list[SessionEntry]
    has_more: bool = False


class StoredMessage(Struct, frozen=True):
    """One message of a session's history. ``state``: complete, interrupted or failed."""

    role: str
    content: str | None = None
    state: str | None = None


class StoredMessages(Struct, frozen=True):
    """A page of a session's history."""

    data: list[StoredMessage]


class Reply:
    """An answer that the server has begun to send."""

    def __init__(self, response: httpx.Response) -> None:
        self.stream_id = response.headers.get("x-stream-id")
        self.decoder = AnswerDecoder()
        self._body: AsyncIterator[bytes] = response.aiter_bytes()

    async def read(self) -> list[Piece] | None:
        """Wait for the next of it; None at its end. *Errors:* ChatError when the way breaks."""
        if not self.decoder.is_readable:
            return None
        try:
            data = await anext(self._body, None)
        except httpx.ReadTimeout:
            failure = Failure("quiet", f"the server has sent nothing for {QUIET_SECONDS:.0f} s")
            raise ChatError(failure) from None
        except httpx.HTTPError:
            return None  # an end without the answer's own end says it all
        return None if data is None else self.decoder.feed(data)

    async def read_the_rest(self) -> None:
        """Read to the end of the body, for nothing."""
        while await anext(self._body, None) is not None:
            pass


class _Sent(httpx.AsyncByteStream):
    """A request's body. httpx's own is a generator, of which a cancel would leave a part behind."""

    def __init__(self, body: bytes) -> None:
        self._left = [body] if body else []

    def __aiter__(self) -> "_Sent":
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class Client:
    """``http`` has the server's address and the key; its owner closes it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @asynccontextmanager
    async def asking(self, question: Question) -> AsyncGenerator[Reply, None]:
        """Ask; inside the block the answer can be read.

        Resources: leaving the block closes the connection. Errors: ChatError.
        """
        headers = {"X-Session-Id": question.session_id}
        if question.policy is not None:
            headers["X-Session-Policy"] = question.policy
        body: dict[str, Any] = {"prompt": question.prompt, "stream": True}
        if question.model is not None:
            body["model"] = question.model
        async with self._sending("POST", "v1/chat/completions", headers, body) as response:
            reply = Reply(response)
            try:
                yield reply
            finally:
                # What reads a body is a pile of generators, which end only by raising.
                with trio.move_on_after(0, shield=True):
                    await reply.read_the_rest()

    async def stop(self, session_id: str, stream_id: str) -> Receipt:
        """Stop that stream of the session, and no other; answered when it has unwound."""
        path = f"v1/sessions/{quote(session_id, safe='')}/cancel"
        return await self._fetch(Receipt, "POST", path, {"stream_id": stream_id})

    async def sessions(self, search: str = "") -> SessionList:
        """List the newest sessions, those that hold ``search``."""
        query = f"?search={quote(search, safe='')}" if search else ""
        return await self._fetch(SessionList, "GET", f"v1/sessions{query}")

    async def last_messages(self, session_id: str, most: int) -> list[StoredMessage]:
        """Return the last of a session's history, oldest first; huge ones may be fewer."""
        path = f"v1/sessions/{quote(session_id, safe='')}/messages?order=desc&limit={most}"
        page = await self._fetch(StoredMessages, "GET", path)
        return page.data[::-1]

    async def _fetch(
        self, kind: type[Kind], method: str, path: str, body: dict[str, Any] | None = None
    ) -> Kind:
        async with self._sending(method, path, {}, body) as response:
            return await self._read(kind, response)

    async def _read(self, kind: type[Kind], response: httpx.Response) -> Kind:
        try:
            return msgspec.json.decode(await response.aread(), type=kind)
        except MALFORMED as error:
            failure = Failure("unreadable", f"the server sent what we cannot read: {error}")
            raise ChatError(failure) from None

    @asynccontextmanager
    async def _sending(
        self, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None
    ) -> AsyncGenerator[httpx.Response, None]:
        request = self._http.build_request(method, path, headers=headers, json=body)
        request.stream = _Sent(request.content)
        try:
            async with aclosing(await self._http.send(request, stream=True)) as response:
                if response.status_code != 200:
                    raise _refusal(response.status_code, await response.aread())
                yield response
        except httpx.HTTPError as error:
            raise ChatError(_in_words(error, str(self._http.base_url).rstrip("/"))) from error


def _refusal(status: int, body: bytes) -> ChatError:
    said = decode_error(body[:MOST_REFUSAL_BYTES])
    otherwise = said or f"the server answered with HTTP {status}"
    try:
        value = msgspec.json.decode(body)
    except MALFORMED:
        value = None
    error = value.get("error") if isinstance(value, dict) else None
    failure = read_failure(error, otherwise)
    if status == 401:
        failure = Failure(
            failure.code, f"{failure.message} (--key or JARVIS_API_KEY names the key)"
        )
    return ChatError(failure, status)


def _in_words(error: httpx.HTTPError, url: str) -> Failure:
    match error:
        case httpx.ConnectTimeout():
            return Failure("no_server", f"{url} did not answer within {CONNECT_SECONDS:.0f} s")
        case httpx.ConnectError():
            why = _reason(error)
            return Failure("no_server", f"no connection to {url} ({why}); is the server running?")
        case httpx.TimeoutException():
            return Failure("quiet", f"{url} took too long to answer")
    return Failure("cut", f"the connection to {url} broke before it answered")


def _reason(error: BaseException) -> str:
    """Return what the kernel, TLS or the resolver said, below what libraries made of it."""
    said, below = str(error), error
    while (inner := _below(below)) is not None:
        below = inner
        match below:
            case ssl.SSLCertVerificationError():
                said = below.verify_message
            case ssl.SSLError(reason=str(reason)):
                said = f"TLS: {reason}"
            case OSError(errno=int(number)) if number > 0:
                said = os.strerror(number)
            case OSError(strerror=str(told)):
                said = told
    return said


def _below(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        first: BaseException = error.exceptions[0]
        return first
    return error.__cause__ or error.__context__
