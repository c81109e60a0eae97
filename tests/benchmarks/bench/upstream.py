"""The mock model server of the benchmark: as cheap as it can be, so that it is never what is slow.

``python -m tests.benchmarks.bench.upstream`` prints its address once it listens. One process, one
loop over epoll, bytes that were made beforehand; every token of every stream is a write of its own,
as model servers have it. A wheel of slots of a millisecond keeps each stream on its own schedule,
one token in 20 ms from where it began.

``GET /records`` tells when each prompt came, when its first and last token went, when its
connection was seen to be closed (in nanoseconds of CLOCK_MONOTONIC), and how late the wheel was.
"""

import gc
import json
import os
import select
import socket
import sys
import time
from array import array

from tests.benchmarks.bench.tokens import (
    MODELS,
    ROLE,
    TOKENS,
    TOKENS_PER_SECOND,
    asked,
    end,
)

SLOTS = 1000 // TOKENS_PER_SECOND
TICK_NS = 1_000_000
BACKLOG = 4096
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nconnection: %s\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKS = [_chunk(event) for event in TOKENS]
LAST_CHUNK = b"0\r\n\r\n"


class Record:
    """What became of one prompt; times in nanoseconds, 0 for what has not happened."""

    __slots__ = ("arrived_ns", "closed_ns", "first_ns", "last_ns", "sent")

    def __init__(self) -> None:
        self.arrived_ns = time.monotonic_ns()
        self.first_ns = self.last_ns = self.closed_ns = self.sent = 0

    def told(self) -> dict[str, int]:
        """Return it as JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Connection:
    """One client, and the answer it is being given."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = b""
        self.unsent = b""
        self.record: Record | None = None
        self.tokens = 0
        self.first_tick = 0
        self.slot = 0
        self.is_kept = True

    def request(self) -> tuple[bytes, bytes] | None:
        """Take a request, head and body, once all of it has come."""
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        lines = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
        headers = {name.strip(): value.strip() for name, _, value in lines}
        length = int(headers.get(b"content-length", b"0"))
        if len(rest) < length:
            return None
        self.received = rest[length:]
        self.is_kept = headers.get(b"connection") != b"close"
        return head, rest[:length]

    def send(self, data: bytes) -> None:
        """Send what the socket takes; the rest goes with the next write."""
        if self.unsent:
            data = self.unsent + data
            self.unsent = b""
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent = data[sent:]


class Upstream:
    """The listening socket, its connections, and the wheel that gives each its tokens."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._wheel: list[dict[int, Connection]] = [{} for _ in range(SLOTS)]
        self._records: dict[str, Record] = {}
        self._late_us = array("l")
        self._tick = time.monotonic_ns() // TICK_NS

    def run(self) -> None:
        """Serve until the process is told to end."""
        poll, now = self._epoll.poll, time.monotonic_ns
        connections, listening = self._connections, self._listener.fileno()
        while True:
            wait_ns = (self._tick * TICK_NS) - now()
            for fd, _ in poll(max(wait_ns, 0) / 1e9):
                if fd == listening:
                    self._accept()
                elif (connection := connections.get(fd)) is not None:
                    self._read(fd, connection)
            self._turn(now())

    def _turn(self, now_ns: int) -> None:
        if now_ns >= self._tick * TICK_NS and any(self._wheel):
            self._late_us.append((now_ns - self._tick * TICK_NS) // 1000)
        while now_ns >= self._tick * TICK_NS:
            tick = self._tick
            self._tick += 1
            for fd, connection in tuple(self._wheel[tick % SLOTS].items()):
                if tick >= connection.first_tick:
                    self._give(fd, connection)

    def _give(self, fd: int, connection: Connection) -> None:
        record = connection.record
        assert record is not None
        try:
            if record.sent < connection.tokens:
                # The moment is taken before the write, whose receiver may run before it returns.
                record.last_ns = time.monotonic_ns()
                if not record.sent:
                    record.first_ns = record.last_ns
                connection.send(CHUNKS[record.sent % len(CHUNKS)])
                record.sent += 1
            elif connection.tokens >= 0:
                connection.tokens = -1
                connection.send(_chunk(end(record.sent)) + LAST_CHUNK)
            elif connection.unsent:
                connection.send(b"")
            if connection.tokens < 0 and not connection.unsent:
                self._finish(fd, connection)
        except OSError:
            self._close(fd, connection)

    def _finish(self, fd: int, connection: Connection) -> None:
        del self._wheel[connection.slot][fd]
        connection.record = None
        if not connection.is_kept:
            self._close(fd, connection)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = Connection(sock)
            self._epoll.register(sock, select.EPOLLIN)

    def _read(self, fd: int, connection: Connection) -> None:
        try:
            data = connection.socket.recv(65536)
            if not data:
                self._close(fd, connection)
                return
            connection.received += data
            while connection.record is None and (request := connection.request()):
                self._answer(fd, connection, *request)
        except OSError:
            self._close(fd, connection)

    def _answer(self, fd: int, connection: Connection, head: bytes, body: bytes) -> None:
        kept = b"keep-alive" if connection.is_kept else b"close"
        wanted = asked(body)
        if wanted is None:
            said = self._told() if b"/records" in head.partition(b"\r\n")[0] else MODELS
            length = b"content-length: %d\r\n\r\n" % len(said)
            connection.send(HEAD % (b"application/json", kept) + length + said)
            return
        connection.record = self._records[wanted.marker] = Record()
        begun = HEAD % (b"text/event-stream", kept) + b"transfer-encoding: chunked\r\n\r\n"
        connection.send(begun + _chunk(ROLE))
        connection.tokens = wanted.tokens
        arrived = connection.record.arrived_ns // TICK_NS
        connection.first_tick = max(arrived + wanted.first_ms, self._tick)
        connection.slot = connection.first_tick % SLOTS
        self._wheel[connection.slot][fd] = connection

    def _close(self, fd: int, connection: Connection) -> None:
        if connection.record is not None:
            connection.record.closed_ns = time.monotonic_ns()
            self._wheel[connection.slot].pop(fd, None)
        del self._connections[fd]
        connection.socket.close()

    def _told(self) -> bytes:
        late = sorted(self._late_us) or [0]
        told = {
            "records": {marker: record.told() for marker, record in self._records.items()},
            "late_p99_us": late[len(late) * 99 // 100],
            "late_max_us": late[-1],
        }
        return json.dumps(told).encode()


def main() -> None:
    """Listen, say where, and serve."""
    gc.disable()
    upstream = Upstream()
    sys.stdout.write(f"{upstream.url}\n")
    sys.stdout.flush()
    try:
        upstream.run()
    except KeyboardInterrupt:
        os._exit(0)


if __name__ == "__main__":
    main()
