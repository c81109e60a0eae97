"""What every model server behind HTTP has in common: a base URL, a key, and how it fails.

Above: one provider per format, which says where to post and how to decode. Below: the transport.
Here httpx's errors and HTTP's statuses become our errors, and nowhere else.
"""

import errno
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

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
from jarvis_trio.providers.http import TrioTransport
from jarvis_trio.providers.http_body import ResponseBody
from jarvis_trio.providers.http_errors import UnreadableError
from jarvis_trio.wire.decoding import DeltaDecoder
from jarvis_trio.wire.error_text import decode_error

SHORTEST_SECRET = 8
"""Shorter keys are placeholders ("none", "ollama"), and words of many a message."""

MAX_RETRY_AFTER_DIGITS = 6

REASON_SECONDS = 0.5
"""How long the reason of a refusal may take: that it is one is known, and our client waits."""


class UpstreamAnswer:
    """One accepted answer: the body of a response, decoded as it arrives."""

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

    async def _receive_once(self) -> list[Delta]:
        """Decode one read. A fault of the format stays in the decoder until the next call."""
        try:
            data = await self._body.receive()
        except httpx.RemoteProtocolError:
            data = b""  # cut off: whether that matters is for the format's end marker to say
        except httpx.HTTPError as error:
            raise self._upstream.transport_error(error) from error
        return self._decoder.feed(data) if data else self._decoder.finish()


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
        self._url = url
        self._urls: dict[str, httpx.URL] = {}
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "jarvis_trio"}
        if authorization := _authorization(url, key):
            self._headers["Authorization"] = authorization
        # How long an answer may take is the engine's to say.
        timeout = httpx.Timeout(None, connect=connect_timeout_seconds)
        self._extensions = {"timeout": timeout.as_dict()}
        gathering = Gathering()
        self.run = gathering.run
        # Without httpx's client round it: all that would do here is to be told not to. Redirects,
        # cookies, proxies and logins are not for a model server.
        self._transport = TrioTransport(is_secure=url.scheme == "https", gathering=gathering)

    @asynccontextmanager
    async def stream(
        self, path: str, content: bytes, decoder: DeltaDecoder, *, model: str | None
    ) -> AsyncIterator[UpstreamAnswer]:
        """Post a request and read its answer; entering waits for the upstream's 200.

        Resources: leaving closes the connection at once. Errors: UpstreamError and its kinds,
        ModelNotFoundError.
        """
        body = await self._send(self._request("POST", path, content), model)
        try:
            yield UpstreamAnswer(self, body, decoder)
        finally:
            body.close()

    async def models(self, path: str, decode: Callable[[bytes], list[Model]]) -> list[Model]:
        """Return the models listed at ``path``. *Errors:* UpstreamError."""
        body = await self._send(self._request("GET", path), None)
        try:
            return decode(await body.read_whole())
        except httpx.HTTPError as error:
            raise self.transport_error(error) from error
        except WireError as error:
            raise self.fault(error) from error

    def _request(self, method: str, path: str, content: bytes | None = None) -> httpx.Request:
        url = self._urls.get(path)
        if url is None:
            base = self._url.raw_path.rstrip(b"/")
            url = self._urls[path] = self._url.copy_with(raw_path=base + b"/" + path.encode())
        headers = self._headers
        if content is not None:
            headers = headers | {"Content-Type": "application/json"}
        return httpx.Request(
            method, url, headers=headers, content=content, extensions=self._extensions
        )

    async def _send(self, request: httpx.Request, model: str | None) -> ResponseBody:
        """Send, and return the body of a 200; any other status is an error with its reason."""
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.HTTPError as error:
            raise self.transport_error(error) from error
        body: ResponseBody = response.extensions["body"]
        oddity = _oddity(response.headers)
        if response.status_code == 200 and oddity is None:
            return body
        said = ""
        try:
            if oddity is None:
                with trio.move_on_after(REASON_SECONDS), suppress(httpx.HTTPError):
                    said = decode_error(await body.read_whole())
        finally:
            body.close()
        if response.status_code == 200:
            raise UpstreamError(f"{self.name} answered with {oddity}")
        raise self._refusal(response, self._without_key(said), model)

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
        self, response: httpx.Response, said: str, model: str | None
    ) -> JarvisError:
        """Return what a status other than 200 means for our client."""
        status = response.status_code
        retry_after = _seconds(response.headers.get("retry-after"))
        match status:
            case 401 | 403:
                return UpstreamError(
                    f"{self.name} refused our key ({status}); set JARVIS_UPSTREAM_KEY"
                )
            case 404 if model is not None and "model" in said.lower():
                return ModelNotFoundError(f"{self.name} has no model {model!r}", param="model")
            case 404:
                return UpstreamError(
                    f"{self.name} has no {response.request.url.path}; is JARVIS_UPSTREAM right?"
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


def _oddity(headers: httpx.Headers) -> str | None:
    """Return what a body is that is none of a model server's, for all that we asked for."""
    if headers.get("content-encoding", "").lower() not in {"", "identity"}:
        return "compressed data, which we did not ask for"
    if headers.get("content-type", "").lower().startswith("text/html"):
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


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After in seconds; a date or nonsense is as good as none."""
    if text is None or not text.isdecimal() or len(text) > MAX_RETRY_AFTER_DIGITS:
        return None
    return float(text)
