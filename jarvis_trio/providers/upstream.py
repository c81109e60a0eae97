"""What every model server behind HTTP has in common: a base URL, a key, and how it fails.

Above: one provider per format, which says where to post and how to decode. Below: the transport.
Here httpx's errors and HTTP's statuses become our errors, and nowhere else.
"""

import errno
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import httpx
import trio

from jarvis_trio.errors import (
    ConfigError,
    JarvisError,
    ModelNotFoundError,
    OverloadedError,
    UpstreamBusyError,
    UpstreamDownError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    WireError,
)
from jarvis_trio.events import Delta, Model
from jarvis_trio.providers.gathering import Gathering
from jarvis_trio.providers.http import HttpClient
from jarvis_trio.providers.http_body import ResponseBody
from jarvis_trio.providers.http_errors import UnreadableError
from jarvis_trio.wire.decoding import DeltaDecoder
from jarvis_trio.wire.error_text import decode_error

Told = TypeVar("Told")

SHORTEST_SECRET = 8
"""Shorter keys are placeholders ("none", "ollama"), and words of many a message."""

MAX_RETRY_AFTER_DIGITS = 6

REASON_SECONDS = 0.5
"""How long the reason of a refusal may take: that it is one is known, and our client waits."""


class UpstreamAnswer:
    """One accepted answer: the body of a response, decoded as it arrives.

    *Resources:* ``close()`` closes the connection at once.
    """

    __slots__ = ("_body", "_decoder", "_upstream")

    def __init__(self, upstream: "Upstream", body: ResponseBody, decoder: DeltaDecoder) -> None:
        self._upstream = upstream
        self._body = body
        self._decoder = decoder

    async def receive(self) -> list[Delta]:
        """Wait for the upstream and return all that has come; empty means a clean end."""
        decoder = self._decoder
        while not decoder.ended:
            if decoder.error is not None:
                raise self._upstream.fault(decoder.error)
            if deltas := await self._receive_once():
                return deltas
            await trio.lowlevel.checkpoint()  # what came was no delta: others get their turn
        return []

    def receive_nowait(self) -> list[Delta]:
        """Return what has come, if anything has; without errors, as the answer is given up."""
        return self._decoder.feed(self._body.receive_nowait())

    async def gather(self, seconds: float) -> None:
        """Wait ``seconds``, or until so much has come, or the end, that it should be received."""
        if self._decoder.ended or self._decoder.error is not None:
            await trio.lowlevel.checkpoint()
        else:
            await self._body.gather(seconds)

    def close(self) -> None:
        """Close the connection."""
        self._body.close()

    async def _receive_once(self) -> list[Delta]:
        """Decode one read. A fault of the format stays in the decoder until the next call."""
        try:
            data = await self._body.receive()
        except httpx.RemoteProtocolError:
            data = b""  # cut off: whether that matters is for the format's end marker to say
        except httpx.HTTPError as error:
            raise self._upstream.transport_error(error) from error
        return self._decoder.feed(data) if data else self._decoder.finish()


class Chat:
    """``async with`` asks on entering, and closes the answer on leaving."""

    __slots__ = ("_answer", "_ask")

    _answer: UpstreamAnswer

    def __init__(self, ask: Callable[[], Awaitable[UpstreamAnswer]]) -> None:
        self._ask = ask

    async def __aenter__(self) -> UpstreamAnswer:
        self._answer = await self._ask()
        return self._answer

    async def __aexit__(self, *_: object) -> None:
        self._answer.close()


class Upstream:
    """An HTTP model server. ``name`` is for errors and logs and holds no secret.

    Errors: ConfigError for an address or a key that cannot be used.
    """

    def __init__(
        self, kind: str, base_url: str, key: str | None, connect_timeout_seconds: float
    ) -> None:
        url = _checked(base_url)
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigError("JARVIS_UPSTREAM_KEY holds characters that no header can carry")
        self.name = f"{kind} at {url.netloc.decode()}"
        self._key = key
        headers = {"Accept-Encoding": "identity", "User-Agent": "jarvis_trio"}
        if authorization := _authorization(url, key):
            headers["Authorization"] = authorization
        gathering = Gathering()
        self.run = gathering.run
        # How long an answer may take is the engine's to say. Redirects, cookies, proxies and logins
        # are not for a model server.
        self._client = HttpClient(url, headers, connect_timeout_seconds, gathering=gathering)

    async def ask(
        self, path: str, content: bytes, decoder: DeltaDecoder, *, model: str | None
    ) -> UpstreamAnswer:
        """Post a request, wait for the upstream's 200, and return the answer that it begins.

        *Resources:* the caller must close it. *Errors:* UpstreamError and its kinds,
        ModelNotFoundError.
        """
        body = await self._accepted(self._client.post(path, content), path, model)
        return UpstreamAnswer(self, body, decoder)

    async def get(self, path: str, decode: Callable[[bytes], Told]) -> Told:
        """Return what is told at ``path``. *Errors:* UpstreamError."""
        body = await self._accepted(self._client.get(path), path, None)
        try:
            return decode(await body.read_whole())
        except httpx.HTTPError as error:
            raise self.transport_error(error) from error
        except WireError as error:
            raise self.fault(error) from error

    async def _accepted(
        self, asked: Awaitable[ResponseBody], path: str, model: str | None
    ) -> ResponseBody:
        """Wait for the body of a 200; any other status is an error with its reason."""
        try:
            body = await asked
        except httpx.HTTPError as error:
            raise self.transport_error(error) from error
        oddity = _oddity(body)
        if body.status == 200 and oddity is None:
            return body
        said = ""
        try:
            if oddity is None:
                with trio.move_on_after(REASON_SECONDS), suppress(httpx.HTTPError):
                    said = decode_error(await body.read_whole())
        finally:
            body.close()
        if body.status == 200:
            raise UpstreamError(f"{self.name} answered with {oddity}")
        raise self._refusal(body, self._without_key(said), path, model)

    def fault(self, error: JarvisError) -> JarvisError:
        """Return a decoder's error as one that names this upstream."""
        if isinstance(error, UpstreamEOFError):
            return UpstreamEOFError(f"{self.name} closed the answer before its end marker")
        if isinstance(error, WireError):
            return UpstreamError(f"{self.name} sent what cannot be read ({error.message})")
        said = self._without_key(error.message)
        return UpstreamError(f"{self.name} reported an error", said=said)

    def _without_key(self, said: str) -> str:
        """Return what the upstream said, fit for clients."""
        if self._key is None or len(self._key) < SHORTEST_SECRET:
            return said
        return said.replace(self._key, "…")

    def transport_error(self, error: httpx.HTTPError) -> JarvisError:
        """Return httpx's error as ours."""
        match error:
            case httpx.TimeoutException():
                return UpstreamTimeoutError(f"{self.name} could not be reached in time (connect)")
            case httpx.ConnectError() if _is_out_of_descriptors(error):
                return OverloadedError("this server has no descriptors left", retry_after=1.0)
            case httpx.ConnectError():
                return UpstreamDownError(f"{self.name} cannot be reached: {error}")
            case UnreadableError():
                return UpstreamError(f"{self.name} sent what cannot be read ({error})")
            case httpx.RemoteProtocolError() | httpx.ReadError():
                return UpstreamEOFError(f"{self.name} broke the connection off: {error}")
            case _:
                return UpstreamError(f"{self.name} failed: {error}")

    def _refusal(  # noqa: PLR0911 - one return per status is the table it is
        self, body: ResponseBody, said: str, path: str, model: str | None
    ) -> JarvisError:
        """Return what a status other than 200 means for our client."""
        status = body.status
        retry_after = _seconds(body.header(b"retry-after"))
        match status:
            case 401 | 403:
                return UpstreamError(
                    f"{self.name} refused our key ({status}); set JARVIS_UPSTREAM_KEY"
                )
            case 404 if model is not None and "model" in said.lower():
                return ModelNotFoundError(f"{self.name} has no model {model!r}", param="model")
            case 404:
                return UpstreamError(
                    f"{self.name} has no {self._client.url(path).path}; is JARVIS_UPSTREAM right?"
                )
            case 429:
                return UpstreamRateLimitError(
                    f"{self.name} limits our rate", said=said, retry_after=retry_after
                )
            case 502:
                return UpstreamDownError(f"{self.name} answered with status 502", said=said)
            case 503:
                return UpstreamBusyError(
                    f"{self.name} is not ready", said=said, retry_after=retry_after
                )
            case _ if 400 <= status < 500:
                return UpstreamRejectedError(
                    f"{self.name} rejected the request ({status})", said=said
                )
            case _:
                return UpstreamError(f"{self.name} answered with status {status}", said=said)


def default_of(models: list[Model], so_far: str | None) -> str | None:
    """Return the model for requests without one: the same as before, as long as it is there."""
    names = [model.id for model in models]
    return so_far if so_far in names else next(iter(names), None)


def _checked(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"JARVIS_UPSTREAM holds no address of a model server: {error}") from error
    if not url.host or "%" in url.host or not 0 < (url.port or 80) < 65536:
        raise ConfigError("JARVIS_UPSTREAM holds no address of a model server")
    return url


def _is_out_of_descriptors(error: BaseException | None) -> bool:
    """Say whether it is our own limit that stands between us and the upstream."""
    while error is not None:
        inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        if any(map(_is_out_of_descriptors, inner)):
            return True
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        error = error.__cause__
    return False


def _oddity(body: ResponseBody) -> str | None:
    """Return what a body is that is none of a model server's, for all that we asked for."""
    if body.header(b"content-encoding").lower() not in {b"", b"identity"}:
        return "compressed data, which we did not ask for"
    if body.header(b"content-type").lower().startswith(b"text/html"):
        return "a web page; is JARVIS_UPSTREAM right?"
    return None


def _authorization(url: httpx.URL, key: str | None) -> str | None:
    """Return what shows who we are: the key, or else the name and password in the address."""
    if key is not None:
        return f"Bearer {key}"
    if not url.userinfo:
        return None
    login = f"{url.username}:{url.password}".encode()
    return f"Basic {b64encode(login).decode()}"


def _seconds(text: bytes) -> float | None:
    """Read a Retry-After in seconds; a date or nonsense is as good as none."""
    if not text.isdigit() or len(text) > MAX_RETRY_AFTER_DIGITS:
        return None
    return float(text)
