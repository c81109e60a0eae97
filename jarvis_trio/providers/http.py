"""The way to an upstream: an httpx transport on trio streams and httptools.

One connection per request, owned by the scope that made the request: when that scope is
cancelled, or the response is closed, the socket is closed there and then, without a farewell that
could be waited for. There is no pool, hence no queue of waiters that a cancelled request could
wedge (httpcore #1093), and no connection whose peer has long gone.

Above: providers, through httpx's client API. It does not know what the bytes mean.
"""

import re
import ssl
from collections.abc import AsyncIterator

import httptools
import httpx
import trio

Connection = trio.SocketStream | trio.SSLStream[trio.SocketStream]

RECEIVE_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024
"""Of the head, and of all that is not body at one place behind it, such as trailers."""

SENT_AT_ONCE_BYTES = 16 * 1024
"""What the kernel takes from us even when the server never reads."""

BREAKS_LINE = re.compile(rb"[\r\n\0]")

MAX_BUFFERED_BODY_BYTES = 16 * 1024 * 1024
"""What ``read_whole`` takes: model lists and error pages, never an answer."""


class TrioTransport(httpx.AsyncBaseTransport):
    """Sends each request on a connection of its own.

    Obeys httpx's ``connect``, ``read`` and ``write`` timeouts (seconds, None for none; ``pool``
    has no meaning here). The response's body is also at ``extensions["body"]``, a
    :class:`ResponseBody`, for whoever wants bytes without httpx's layers in between.

    Errors: httpx's own transport exceptions.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context or ssl.create_default_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return its response as soon as the head is there."""
        data = _head_of(request) + await request.aread()
        write_seconds = _seconds(request, "write")
        stream = await self._connect(request)
        body = ResponseBody(stream, _seconds(request, "read"))
        try:
            if len(data) <= SENT_AT_ONCE_BYTES:
                await _send(stream, data, write_seconds)
                await body.receive_head()
            else:
                await _exchange(stream, data, write_seconds, body)
        except BaseException:
            body.close()
            raise
        return httpx.Response(
            body.status, headers=body.headers, stream=body, extensions={"body": body}
        )

    async def _connect(self, request: httpx.Request) -> Connection:
        url = request.url
        secure = url.scheme == "https"
        with (
            _errors(httpx.ConnectTimeout, httpx.ConnectError),
            trio.fail_after(_seconds(request, "connect")),
        ):
            tcp = await trio.open_tcp_stream(url.host, url.port or (443 if secure else 80))
            if not secure:
                return tcp
            try:
                tls = trio.SSLStream(
                    tcp, self._ssl_context, server_hostname=url.host, https_compatible=True
                )
                await tls.do_handshake()
            except BaseException:
                tcp.socket.close()
                raise
            return tls


class ResponseBody(httpx.AsyncByteStream):
    """A response's body as it arrives, and the connection that it arrives on.

    *Resources:* ``close()`` closes the connection, sync and idempotent; so does the end of the
    body, and any fault while reading it.
    """

    def __init__(self, stream: Connection, read_seconds: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._stream = stream
        self._read_seconds = read_seconds
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._bytes_without_body = 0
        self._head_is_complete = False
        self._is_complete = False
        self._ends_with_connection = True
        self._fault: httpx.RemoteProtocolError | None = None

    async def receive_head(self) -> None:
        """Wait for the status and the headers."""
        while not self._head_is_complete:
            if not await self._feed():
                raise httpx.RemoteProtocolError("the server closed without an answer")

    async def receive(self) -> bytes:
        """Wait for bytes of the body and return all that one read brought; ``b""`` at its end.

        Errors: httpx.ReadError, ReadTimeout; RemoteProtocolError for a body that is cut off.
        """
        try:
            while not self._pieces and not self._is_complete:
                if not await self._feed():
                    self._connection_ended()
        except BaseException:
            self.close()
            raise
        if self._is_complete:
            self.close()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return data

    async def read_whole(self) -> bytes:
        """Return the rest of the body. *Errors:* as ``receive``, and when it is too large."""
        pieces: list[bytes] = []
        total = 0
        while data := await self.receive():
            pieces.append(data)
            total += len(data)
            if total > MAX_BUFFERED_BODY_BYTES:
                self.close()
                raise httpx.RemoteProtocolError("the body is too large")
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connection: the upstream's kernel knows before this returns."""
        stream = self._stream
        tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        tcp.socket.close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if data := await self.receive():
            return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the connection; httpx calls this."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _connection_ended(self) -> None:
        if not self._ends_with_connection:
            raise httpx.RemoteProtocolError("the body was cut off")
        self._is_complete = True

    async def _feed(self) -> bool:
        """Parse one read; False at the end of the connection.

        A fault is raised by the next call: what the same read brought before it goes first.
        """
        if self._fault is not None:
            raise self._fault
        with (
            _errors(httpx.ReadTimeout, httpx.ReadError),
            trio.fail_after(self._read_seconds),
        ):
            data = await self._stream.receive_some(RECEIVE_BYTES)
        if not data:
            return False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fault = httpx.RemoteProtocolError("not HTTP: the server changes the protocol")
        except httptools.HttpParserError as error:
            self._fault = httpx.RemoteProtocolError(f"not HTTP: {error}")
        self._bytes_without_body = 0 if self._pieces else self._bytes_without_body + len(data)
        if self._bytes_without_body > MAX_HEAD_BYTES + RECEIVE_BYTES:
            part = "a trailer" if self._head_is_complete else "the head"
            self._fault = httpx.RemoteProtocolError(f"{part} of the answer is too large")
        return True

    # What httptools calls. What follows the body is nobody's business.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in one header; trailers are passed over."""
        if not self._head_is_complete:
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Take in the end of the head; those of 1xx answers are passed over."""
        if self._head_is_complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
            return
        self._head_is_complete = True
        names = {name.lower() for name, _ in self.headers}
        self._ends_with_connection = names.isdisjoint((b"content-length", b"transfer-encoding"))

    def on_body(self, data: bytes) -> None:
        """Take in a piece of the body."""
        if not self._is_complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Take in the end of the body."""
        if self._head_is_complete:
            self._is_complete = True


async def _send(stream: Connection, data: bytes, write_seconds: float) -> None:
    with _errors(httpx.WriteTimeout, httpx.WriteError), trio.fail_after(write_seconds):
        try:
            await stream.send_all(data)
        except trio.BrokenResourceError:
            return  # the server has closed; it may have said why


async def _exchange(
    stream: Connection, data: bytes, write_seconds: float, body: ResponseBody
) -> None:
    """Send a large request and wait for the head at once.

    A server that refuses may say so early and read no more: then nothing would ever move.
    """
    fault: httpx.HTTPError | None = None

    async def send() -> None:
        nonlocal fault
        try:
            await _send(stream, data, write_seconds)
        except httpx.HTTPError as error:
            fault = error
            nursery.cancel_scope.cancel(reason="the request cannot be sent")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        try:
            await body.receive_head()
        except httpx.HTTPError as error:
            fault = error
        if fault is not None or body.status >= 300:
            nursery.cancel_scope.cancel(reason="the answer is there")
    if fault is not None:
        raise fault


def _head_of(request: httpx.Request) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw if pair[0].lower() != b"connection"]
    if any(map(BREAKS_LINE.search, lines)):
        raise httpx.LocalProtocolError("a header of the request has a line break in it")
    lines += [b"Connection: close", b"", b""]
    return b"\r\n".join(lines)


def _seconds(request: httpx.Request, what: str) -> float:
    """Return one of httpx's timeouts of this request, infinite for none."""
    seconds: float | None = request.extensions.get("timeout", {}).get(what)
    return float("inf") if seconds is None else seconds


_FAILURES = (
    OSError,  # ssl.SSLError is one
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    UnicodeError,  # a host that cannot be a name
)


class _errors:  # noqa: N801 - reads as the statement that it is
    """Turns trio's and the kernel's errors into httpx's; the only place that does."""

    def __init__(
        self, timeout: type[httpx.TimeoutException], other: type[httpx.NetworkError]
    ) -> None:
        self._timeout = timeout
        self._other = other

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, trio.TooSlowError):
            raise self._timeout("timed out") from error
        if isinstance(error, _FAILURES):
            cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else None
            raise self._other(str(cause or error) or type(error).__name__) from error
