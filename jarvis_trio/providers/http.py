"""The way to an upstream: HTTP/1.1 on trio streams and httptools.

One connection per request, owned by the scope that made the request: when that scope is
cancelled, or the response is closed, the socket is closed there and then, without a farewell that
could be waited for. There is no pool, hence no queue of waiters that a cancelled request could
wedge (httpcore #1093), and no connection whose peer has long gone.

What can be done at once is done without a turn of the event loop: over loopback the first that a
request waits for is its answer.

Above: providers. It does not know what the bytes mean.
"""

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import httpx
import trio

from jarvis_trio.providers.gathering import Gathering
from jarvis_trio.providers.http_body import Connection, ResponseBody
from jarvis_trio.providers.http_errors import CONNECT_ERRORS

Address = tuple[str, int] | tuple[str, int, int, int]

CONNECTING: Final = frozenset({errno.EALREADY, errno.EINPROGRESS})
CONNECTED: Final = frozenset({0, errno.EISCONN})
BREAKS_LINE: Final = re.compile(r"[\r\n\0]")


class HttpClient:
    """Asks one server, at paths below ``base_url`` or, with a slash before, below its root.

    Only connecting has a deadline of its own.

    Errors: httpx's own transport exceptions.
    """

    def __init__(
        self,
        base_url: httpx.URL,
        headers: Mapping[str, str],
        connect_timeout_seconds: float,
        *,
        ssl_context: ssl.SSLContext | None = None,
        gathering: Gathering | None = None,
    ) -> None:
        if any(map(BREAKS_LINE.search, headers.values())):
            raise httpx.LocalProtocolError("a header of the request has a line break in it")
        is_secure = base_url.scheme == "https"
        self._ssl_context = (ssl_context or ssl.create_default_context()) if is_secure else None
        self._base_url = base_url
        self._host = base_url.host
        self._port = base_url.port or (443 if is_secure else 80)
        self._address = _address_of(self._host, self._port)
        constant = {"Host": base_url.netloc.decode(), **headers, "Connection": "close"}
        lines = [f"{name}: {value}\r\n" for name, value in constant.items()]
        self._headers = "".join(lines).encode("ascii")
        self._heads: dict[tuple[str, str], bytes] = {}
        self._connect_timeout_seconds = connect_timeout_seconds
        self._gathering = gathering or Gathering()

    async def get(self, path: str) -> ResponseBody:
        """Ask, and return the body of the answer as soon as its head is there."""
        return await self._ask(self._head("GET", path) + b"\r\n")

    async def post(self, path: str, content: bytes) -> ResponseBody:
        """Send JSON, and return the body of the answer as soon as its head is there."""
        return await self._ask(
            b"%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (self._head("POST", path), len(content), content)
        )

    def url(self, path: str) -> httpx.URL:
        """Return the address of ``path``."""
        if path.startswith("/"):
            return self._base_url.copy_with(raw_path=path.encode())
        base = self._base_url.raw_path.rstrip(b"/")
        return self._base_url.copy_with(raw_path=base + b"/" + path.encode())

    def _head(self, method: str, path: str) -> bytes:
        """Return what all requests like this one begin with."""
        head = self._heads.get((method, path))
        if head is None:
            line = b"%b %b HTTP/1.1\r\n" % (method.encode(), self.url(path).raw_path)
            head = self._heads[method, path] = line + self._headers
        return head

    async def _ask(self, request: bytes) -> ResponseBody:
        await trio.lowlevel.checkpoint_if_cancelled()  # perhaps nothing waits before all is sent
        stream = await self._connect()
        body = ResponseBody(stream, self._gathering)
        try:
            sent = _send_nowait(stream, request)
            if sent == len(request):
                await body.receive_head()
            else:
                await _exchange(stream, memoryview(request)[sent:], body)
        except BaseException:
            body.close()
            raise
        return body

    async def _connect(self) -> Connection:
        deadline = trio.current_time() + self._connect_timeout_seconds
        with CONNECT_ERRORS:
            if self._address is None:
                with trio.fail_at(deadline):
                    tcp = await trio.open_tcp_stream(self._host, self._port)
            else:
                tcp = await _open(self._address, deadline)
            if self._ssl_context is None:
                return tcp
            try:
                tls = trio.SSLStream(
                    tcp, self._ssl_context, server_hostname=self._host, https_compatible=True
                )
                with trio.fail_at(deadline):
                    await tls.do_handshake()
            except BaseException:
                tcp.socket.close()
                raise
            return tls


def _address_of(host: str, port: int) -> Address | None:
    """Return where a host is that is an address already: no need to look for others beside it."""
    try:
        version = ip_address(host).version
    except ValueError:
        return None
    return (host, port) if version == 4 else (host, port, 0, 0)


async def _open(address: Address, deadline: float) -> trio.SocketStream:
    sock = socket.socket(socket.AF_INET if len(address) == 2 else socket.AF_INET6)
    try:
        sock.setblocking(False)
        await _dial(sock, address, deadline)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


async def _dial(sock: socket.socket, address: Address, deadline: float) -> None:
    """Connect. Over loopback that is done at once."""
    fault = 0
    try:
        sock.connect(address)
    except BlockingIOError:
        fault = sock.connect_ex(address)  # asked again, the kernel says how far it has come
    if fault in CONNECTING:
        with trio.fail_at(deadline):
            await trio.lowlevel.wait_writable(sock)
        fault = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if fault not in CONNECTED:
        raise OSError(fault, f"Error connecting to {address!r}: {os.strerror(fault)}")


def _send_nowait(stream: Connection, data: bytes) -> int:
    """Return how much of ``data`` the kernel has taken at once.

    None of it over TLS, and where there is a fault, which is for whoever waits to find.
    """
    if isinstance(stream, trio.SSLStream):
        return 0
    try:
        return os.write(stream.socket.fileno(), data)
    except OSError:
        return 0


async def _exchange(stream: Connection, data: memoryview, body: ResponseBody) -> None:
    """Send the rest of a request and wait for the head at once.

    A server that refuses may say so early and read no more: then nothing would ever move.
    """
    fault: httpx.HTTPError | None = None

    async def send() -> None:
        with suppress(trio.BrokenResourceError):  # the server has closed; it may have said why
            await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        try:
            await body.receive_head()
        except httpx.HTTPError as error:
            fault = error
        if fault is not None or body.status >= 300:
            nursery.cancel_scope.cancel(reason="the answer is there")
    if fault is not None:
        try:
            raise fault
        finally:
            fault = None  # it holds this frame
