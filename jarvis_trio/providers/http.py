"""The way to an upstream: an httpx transport on trio streams and httptools.

One connection per request, owned by the scope that made the request: when that scope is
cancelled, or the response is closed, the socket is closed there and then, without a farewell that
could be waited for. There is no pool, hence no queue of waiters that a cancelled request could
wedge (httpcore #1093), and no connection whose peer has long gone.

Above: providers, through httpx's client API. It does not know what the bytes mean.
"""

import re
import socket
import ssl
from ipaddress import ip_address

import httpx
import trio

from jarvis_trio.providers.gathering import Gathering
from jarvis_trio.providers.http_body import NEVER, Connection, ResponseBody
from jarvis_trio.providers.http_errors import CONNECT_ERRORS, WRITE_ERRORS

SENT_AT_ONCE_BYTES = 16 * 1024
"""What the kernel takes from us even when the server never reads."""

BREAKS_LINE = re.compile(rb"[\r\n\0]")


class TrioTransport(httpx.AsyncBaseTransport):
    """Sends each request on a connection of its own.

    Obeys httpx's ``connect``, ``read`` and ``write`` timeouts (seconds, None for none; ``pool``
    has no meaning here). The response's body is also at ``extensions["body"]``, a
    :class:`ResponseBody`, for whoever wants bytes without httpx's layers in between.

    Errors: httpx's own transport exceptions.
    """

    def __init__(
        self,
        ssl_context: ssl.SSLContext | None = None,
        *,
        is_secure: bool = True,
        gathering: Gathering | None = None,
    ) -> None:
        self._gathering = gathering or Gathering()
        if ssl_context is None:
            # Reading the authorities takes its time; without them, nobody is trusted.
            plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ssl_context = ssl.create_default_context() if is_secure else plain
        self._ssl_context = ssl_context

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return its response as soon as the head is there."""
        data = _head_of(request) + await request.aread()
        write_seconds = _seconds(request, "write")
        stream = await self._connect(request)
        body = ResponseBody(stream, _seconds(request, "read"), self._gathering)
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
            body.status,
            headers=body.headers,
            stream=body,
            extensions={"body": body},
            request=request,
        )

    async def _connect(self, request: httpx.Request) -> Connection:
        url = request.url
        secure = url.scheme == "https"
        with (
            CONNECT_ERRORS,
            trio.fail_after(_seconds(request, "connect")),
        ):
            tcp = await _open(url.host, url.port or (443 if secure else 80))
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


async def _open(host: str, port: int) -> trio.SocketStream:
    """Connect; where the address is one already, without looking for others to try beside it."""
    try:
        version = ip_address(host).version
    except ValueError:
        return await trio.open_tcp_stream(host, port)
    sock = trio.socket.socket({4: socket.AF_INET, 6: socket.AF_INET6}[version])
    try:
        await sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def _send(stream: Connection, data: bytes, write_seconds: float) -> None:
    with WRITE_ERRORS, trio.fail_after(write_seconds):
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
    return NEVER if seconds is None else seconds
