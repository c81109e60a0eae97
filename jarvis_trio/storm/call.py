"""One HTTP/1.1 request on a connection of its own, and when what of its answer came.

A client that a scenario can make do anything: leave at a byte, stop reading, read slowly. Times are
``time.monotonic_ns()``, which the mock upstream's record on the same machine can be compared with.
"""

import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from time import monotonic_ns
from typing import Final

import httptools
import trio
from msgspec import Struct

from jarvis_trio.storm.target import Target

READ_BYTES: Final = 64 * 1024
MOST_BODY_BYTES: Final = 256 * 1024 * 1024
"""No answer is that long, and a server that never ends one is not to fill our memory."""
CONNECT_SECONDS: Final = 10.0
HURRIED_BUFFER_BYTES: Final = 1024 * 1024
TEXT: Final = re.compile(rb'"(?:content|reasoning_content|reasoning)" ?: ?"[^"]')
"""The first piece of text in a stream; the role chunk's content is empty or null."""

CALL_ERRORS: Final = (OSError, trio.BrokenResourceError)
"""What `calling` raises when there is no connection to be had."""

FRAMING: Final = frozenset({"content-length", "transfer-encoding"})

_LONGEST_MATCH: Final = 32
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Call:
    """A request that is sent at ``sent_ns``.

    ``pieces`` are the body's reads, each its time and its length. ``is_whole`` says that the
    message came to its own end: a chunk of length 0, its promised length, or, where neither was
    promised, its connection's close; ``is_kept`` that the connection is then good for another
    request. ``is_endless`` says that more came than any answer has: the rest is not read.
    """

    def __init__(self, stream: trio.abc.Stream, sock: trio.socket.SocketType) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.pieces: list[tuple[int, int]] = []
        self.sent_ns = monotonic_ns()
        self.head_ns: int | None = None
        self.first_text_ns: int | None = None
        self.left_ns: int | None = None
        self.ended_ns: int | None = None
        self.is_whole = self.is_kept = False
        self.was_reset = self.is_endless = False
        self._stream = stream
        self._socket = sock
        self._parser = httptools.HttpResponseParser(self)
        self._searched = 0

    async def head(self) -> None:
        """Read until the status and the headers are there, or the connection has ended."""
        while self.head_ns is None and await self.read():
            pass

    async def text(self) -> bool:
        """Read until there is text; say whether there is any."""
        while self.first_text_ns is None and await self.read():
            pass
        return self.first_text_ns is not None

    async def rest(self) -> None:
        """Read to the end, of whatever kind."""
        while await self.read():
            pass

    async def read(self, most: int = READ_BYTES) -> bool:
        """Wait for one read; False when there is no more."""
        if self.ended_ns is not None:
            return False
        try:
            data = await self._stream.receive_some(most)
        except (trio.BrokenResourceError, ssl.SSLError):
            self.was_reset = True
            data = b""
        return self.take(bytes(data))

    def take(self, data: bytes) -> bool:
        """Take what one read brought, nothing at the connection's end; False when it was the last.

        Nothing is decoded here: the harness must not be what is slow.
        """
        if data:
            with suppress(httptools.HttpParserUpgrade):
                self._feed(data)
        elif self.head_ns is not None and not self.was_reset:
            self.is_whole |= FRAMING.isdisjoint(self.headers)  # the close is HTTP/1.0's only end
        if not data or self.is_whole:
            self.ended_ns = monotonic_ns()
        return self.ended_ns is None

    def hurry(self) -> None:
        """Let the kernel take much from now on, whatever ``receive_buffer`` was."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HURRIED_BUFFER_BYTES)

    async def is_closed(self) -> bool:
        """Wait for the server's close behind a whole answer; False if it sends more."""
        try:
            return not await self._stream.receive_some(1)
        except (trio.BrokenResourceError, ssl.SSLError):
            return True

    async def again(self, target: Target, request: "Request") -> "Call":
        """Send another request on the connection that a whole answer has left open."""
        with suppress(trio.BrokenResourceError):  # the server closes it in this moment: no answer
            await self._stream.send_all(request.encode(target))
        return Call(self._stream, self._socket)

    @property
    def descriptor(self) -> int | None:
        """What the kernel calls the connection; None where its bytes are not the answer's (TLS)."""
        is_plain = isinstance(self._stream, trio.SocketStream)
        return self._socket.fileno() if is_plain else None

    def leave(self) -> None:
        """Close the connection, at once."""
        self.left_ns = monotonic_ns()
        self._socket.close()

    def reset(self) -> None:
        """Close the connection with a reset, as a process that was killed does."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.leave()

    def _feed(self, data: bytes) -> None:
        before = len(self.body)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.ended_ns = monotonic_ns()  # this is not HTTP, or no longer
            return
        if len(self.body) > MOST_BODY_BYTES:
            self.is_endless, self.ended_ns = True, monotonic_ns()
        elif len(self.body) > before:
            self.pieces.append((monotonic_ns(), len(self.body) - before))
            if self.first_text_ns is None:
                if TEXT.search(self.body, max(0, self._searched - _LONGEST_MATCH)):
                    self.first_text_ns = self.pieces[-1][0]
                self._searched = len(self.body)

    # httptools calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take note of the status; an interim answer is none."""
        if (status := self._parser.get_status_code()) >= 200:
            self.status, self.head_ns = status, monotonic_ns()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Take note of the answer's own end."""
        self.is_whole = self.status >= 200
        self.is_kept = self.is_whole and self._parser.should_keep_alive()


class Request(Struct, frozen=True):
    """What is sent. ``receive_buffer`` bytes is what the kernel takes for a client that stalls."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = {}
    receive_buffer: int | None = None

    def encode(self, target: Target) -> bytes:
        """Return its bytes."""
        lines = {"Host": target.authority, "Connection": "close"}
        if target.key is not None:
            lines["Authorization"] = f"Bearer {target.key}"
        if self.body:
            lines["Content-Type"] = "application/json"
        lines |= {"Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + self.body


@asynccontextmanager
async def calling(target: Target, request: Request) -> AsyncIterator[Call]:
    """Send a request; inside the block the answer can be read.

    Resources: leaving the block closes the connection. Errors: one of CALL_ERRORS.
    """
    with trio.move_on_after(CONNECT_SECONDS) as patience:
        stream, sock = await _connect(target, request.receive_buffer)
    if patience.cancelled_caught:
        raise TimeoutError(f"no connection within {CONNECT_SECONDS:g} s")
    with sock:
        call = Call(stream, sock)
        with suppress(trio.BrokenResourceError):  # it may have answered already, and closed
            await stream.send_all(request.encode(target))
        yield call


def in_words(error: BaseException) -> str:
    """Say why there is no connection, and what to write instead where that is known."""
    while isinstance(error, trio.BrokenResourceError) and error.__cause__ is not None:
        error = error.__cause__
    match error:
        case ssl.SSLCertVerificationError():
            return f"{error.verify_message} (--insecure accepts any certificate)"
        case ssl.SSLError():
            return f"it does not speak TLS as we do ({error.reason}; http://?)"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)  # trio's own text adds a tuple with the address
        case OSError(strerror=str(told)):
            return told
    return str(error) or type(error).__name__


async def _connect(
    target: Target, receive_buffer: int | None
) -> tuple[trio.abc.Stream, trio.socket.SocketType]:
    sock = await _connect_socket(target, receive_buffer)
    try:
        tcp = trio.SocketStream(sock)
        if not target.is_secure:
            return tcp, sock
        context = target.trust or _authorities()
        tls = trio.SSLStream(tcp, context, server_hostname=target.host, https_compatible=True)
        await tls.do_handshake()
    except BaseException:
        sock.close()
        raise
    return tls, sock


async def _connect_socket(target: Target, receive_buffer: int | None) -> trio.socket.SocketType:
    """Connect to the first of the host's addresses where somebody listens."""
    found = await trio.socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    refused: OSError | None = None
    for family, kind, protocol, _, address in found:
        sock = trio.socket.socket(family, kind, protocol)
        try:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await sock.connect(address)
        except OSError as error:
            sock.close()
            refused = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise refused or OSError(f"{target.host} has no address")


@cache
def _authorities() -> ssl.SSLContext:
    """Return those that this machine trusts; reading them takes longer than many a prompt."""
    return ssl.create_default_context()
