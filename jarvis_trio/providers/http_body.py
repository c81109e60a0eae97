"""A response's body, read from the connection that it arrives on and parsed by httptools."""

import os
import ssl
from contextlib import suppress
from typing import Any

import httptools
import httpx
import trio

from jarvis_trio.providers.gathering import Gatherer, Gathering
from jarvis_trio.providers.http_errors import READ_ERRORS, UnreadableError

Connection = trio.SocketStream | trio.SSLStream[trio.SocketStream]

RECEIVE_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024
"""Of the head, and of all that is not body at one place behind it, such as trailers."""

MAX_BUFFERED_BODY_BYTES = 16 * 1024 * 1024
"""What ``read_whole`` takes: model lists and error pages, never an answer."""


class ResponseBody:
    """A response's body as it arrives, and the connection that it arrives on.

    *Resources:* ``close()`` closes the connection, sync and idempotent; so does the end of the
    body, and any fault while reading it.
    """

    __slots__ = ("_bytes_without_body", "_ends_with_connection", "_fault", "_gatherer",
                 "_gathering", "_head_is_complete", "_headers", "_is_complete", "_parser",
                 "_pieces", "_socket", "_tls", "status")  # fmt: skip

    def __init__(self, stream: Connection, gathering: Gathering) -> None:
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser: Any = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._bytes_without_body = 0
        self._head_is_complete = False
        self._is_complete = False
        self._ends_with_connection = True
        self._fault: str | None = None
        self._tls = stream if isinstance(stream, trio.SSLStream) else None
        tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        self._socket = tcp.socket
        self._gathering = gathering
        self._gatherer: Gatherer | None = None

    def header(self, name: bytes) -> bytes:
        """Return a header's value, empty where there is none; ``name`` is in lower case."""
        return b", ".join([value for key, value in self._headers if key == name])

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
        return self._take_pieces()

    async def gather(self, seconds: float) -> None:
        """Wait ``seconds``, or until so much has come, or the end, that it should be read."""
        if self._is_complete or self._fault is not None:
            await trio.lowlevel.checkpoint()
            return
        if self._gatherer is None:
            self._gatherer = self._gathering.add(self._socket)
        await self._gathering.wait(self._gatherer, seconds)

    def receive_nowait(self) -> bytes:
        """Return what the kernel holds of the body; nothing where that cannot be had at once."""
        if self._tls is None and not self._is_complete and self._fault is None:
            with suppress(OSError):
                self._parse(os.read(self._socket.fileno(), RECEIVE_BYTES))
        return self._take_pieces()

    def _take_pieces(self) -> bytes:
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
                raise UnreadableError("the body is too large")
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connection: the upstream's kernel knows before this returns."""
        if self._gatherer is not None:
            self._gathering.remove(self._socket)
            self._gatherer = None
        self._socket.close()
        self._parser = None  # it holds us: else both would wait for the garbage collector

    def _connection_ended(self) -> None:
        if not self._ends_with_connection:
            raise httpx.RemoteProtocolError("the body was cut off")
        self._is_complete = True

    async def _feed(self) -> bool:
        """Parse one read; False at the end of the connection.

        A fault is raised by the next call: what the same read brought before it goes first.
        """
        if self._fault is not None:
            raise UnreadableError(self._fault)
        with READ_ERRORS:
            data = await self._read()
        if not data:
            return False
        self._parse(data)
        if self._tls is not None:
            self._parse_records_behind(self._tls)
        return True

    def _parse_records_behind(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        """Parse what the socket's last read brought besides: trio hands out one record at a time.

        Left there, each would wait for a window of its own. A fault is for the next read to find.
        """
        with suppress(ssl.SSLError):
            while data := stream._ssl_object.read(RECEIVE_BYTES):  # noqa: SLF001 - no public way
                self._parse(data)

    def _parse(self, data: bytes | bytearray) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fault = "not HTTP: the server changes the protocol"
        except httptools.HttpParserError as error:
            self._fault = f"not HTTP: {error}"
        self._bytes_without_body = 0 if self._pieces else self._bytes_without_body + len(data)
        if self._bytes_without_body > MAX_HEAD_BYTES + RECEIVE_BYTES:
            part = "a trailer" if self._head_is_complete else "the head"
            self._fault = f"{part} of the answer is too large"

    async def _read(self) -> bytes | bytearray:
        if self._parser is None:
            raise trio.ClosedResourceError("this socket was already closed")
        if self._gatherer is not None:
            if self._tls is None:
                try:  # what has gathered is there, as a rule: no need to wait for it
                    return os.read(self._socket.fileno(), RECEIVE_BYTES)
                except BlockingIOError:
                    pass
            self._gatherer.wake_at(1)
        if self._tls is not None:
            return await self._tls.receive_some(RECEIVE_BYTES)
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return os.read(self._socket.fileno(), RECEIVE_BYTES)
            except BlockingIOError:
                continue

    # What httptools calls. What follows the body is nobody's business.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in one header; trailers are passed over."""
        if not self._head_is_complete:
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Take in the end of the head; those of 1xx answers are passed over."""
        if self._head_is_complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self._headers.clear()
            return
        self._head_is_complete = True
        names = {name for name, _ in self._headers}
        self._ends_with_connection = names.isdisjoint((b"content-length", b"transfer-encoding"))

    def on_body(self, data: bytes) -> None:
        """Take in a piece of the body."""
        if not self._is_complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Take in the end of the body."""
        if self._head_is_complete:
            self._is_complete = True
