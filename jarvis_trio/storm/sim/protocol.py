"""HTTP/1.1 on one connection: requests in, answers out, and every way to break one off."""

import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import parse_qs, unquote

import httptools
import msgspec
import trio
from msgspec import Struct

from jarvis_trio.errors import BodyTooLargeError, RequestError

MOST_REQUEST_BYTES: Final = 16 * 1024 * 1024
"""Head and body of one request: bounds what a client can make us keep."""
_READ_BYTES: Final = 65536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class CutShortError(Exception):
    """The answer has reached the byte at which its connection shall die."""


class Request(Struct, frozen=True):
    """One request, fully read."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    keep_alive: bool
    chunks: bool  # the client understands chunked encoding


class Peer:
    """One TCP connection; bytes go out at once as far as the kernel takes them.

    *Resources:* a context manager; leaving it closes the socket.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.number = number
        self._socket = sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    def fileno(self) -> int:
        """Give the descriptor, for `PeerWatch`."""
        return self._socket.fileno()

    async def receive(self) -> bytes:
        """Wait for some bytes; none at the end. *Errors:* OSError when the peer has reset."""
        while True:
            try:
                return self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)

    async def send(self, data: bytes) -> None:
        """Hand all of it to the kernel. *Errors:* OSError when the peer has closed."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)

    def reset_when_closed(self) -> None:
        """Let the close be a RST, and lose what the peer has not received."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


class RequestReader:
    """Reads requests one by one; what a client pipelines waits its turn."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._parser = httptools.HttpRequestParser(self)
        self._complete: deque[Request] = deque()
        self._pending_bytes = 0
        self._target = b""
        self._body: list[bytes] = []

    async def next(self) -> Request | None:
        """Wait for the next request; None when the client has closed.

        *Errors:* `RequestError` for bytes that are not a request of acceptable size: nothing can
        be read after it. OSError when the client has reset.
        """
        while not self._complete:
            data = await self._peer.receive()
            if not data:
                return None
            self._pending_bytes += len(data)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as error:
                raise RequestError("this server speaks plain HTTP/1.1 only") from error
            except httptools.HttpParserError as error:
                raise RequestError(f"this is not an HTTP request: {error}") from error
            if self._pending_bytes > MOST_REQUEST_BYTES:
                raise BodyTooLargeError(f"a request has at most {MOST_REQUEST_BYTES} bytes")
        return self._complete.popleft()

    # httptools calls these.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._target += url

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Let the request wait its turn."""
        path, _, query = self._target.decode("latin-1").partition("?")
        self._complete.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                path=unquote(path),
                query={key: values[-1] for key, values in parse_qs(query).items()},
                body=b"".join(self._body),
                keep_alive=self._parser.should_keep_alive(),
                chunks=self._parser.get_http_version() == "1.1",
            )
        )
        self._pending_bytes = 0


class Reply:
    """The answer to one request: its head, its body, its framing.

    ``keep_alive`` turns False where the connection cannot be used after it. ``bytes_to_live``, when
    not None, is the length of body after which `CutShortError` comes out of `write`.
    """

    def __init__(self, peer: Peer, *, keep_alive: bool, chunks: bool = True) -> None:
        self.keep_alive = keep_alive
        self.bytes_to_live: int | None = None
        self._peer = peer
        self._chunks = chunks
        self._chunked = False

    async def json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        body = msgspec.json.encode(value)
        lengths = {"content-type": "application/json", "content-length": str(len(body))}
        await self._peer.send(self._head(status, lengths | (headers or {})) + body)

    async def start(self, content_type: str, length: int | None = None) -> None:
        """Send the head of a 200, for so many bytes or for a stream of unknown length."""
        headers = {"content-type": content_type}
        if length is not None:
            headers["content-length"] = str(length)
        elif self._chunks:
            headers["transfer-encoding"] = "chunked"
            self._chunked = True
        else:
            self.keep_alive = False
        await self._peer.send(self._head(200, headers))

    async def write(self, payload: bytes) -> None:
        """Send a piece of the body at once."""
        if self.bytes_to_live is not None:
            payload = payload[: self.bytes_to_live]
            self.bytes_to_live -= len(payload)
        await self._peer.send(self._framed(payload))
        if self.bytes_to_live == 0:
            raise CutShortError

    async def write_torn(self, payload: bytes) -> None:
        """Send a piece whose framing promises more than there is; nothing can follow it."""
        framed = self._framed(payload)
        self.keep_alive = False
        await self._peer.send(framed[: len(framed) - len(payload) // 2])

    async def end(self) -> None:
        """End a stream's body."""
        if self._chunked:
            await self._peer.send(b"0\r\n\r\n")

    def _framed(self, payload: bytes) -> bytes:
        if not self._chunked:
            return payload
        return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""

    def _head(self, status: int, headers: dict[str, str]) -> bytes:
        connection = {"connection": "keep-alive" if self.keep_alive else "close"}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in (connection | headers).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
