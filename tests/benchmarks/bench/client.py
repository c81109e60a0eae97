"""The benchmark's client: many streams in one loop over epoll, which notes and does not think.

While streams run, each read is kept as it came, with its moment; what it says is found out
afterwards (see :mod:`tests.benchmarks.bench.answer`). How late the client itself was is known too.
"""

import errno
import json
import re
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import Self

from tests.benchmarks.bench.tokens import MODEL, WORD, Asked

READ_BYTES = 16384
LAST_CHUNK = b"0\r\n\r\n"
_REFUSED = re.compile(rb"HTTP/1\.\d (?!200)")


class Reading:
    """One prompt and what came of it; 0 for a moment that has not come."""

    def __init__(self, asked: Asked, sock: socket.socket, request: bytes) -> None:
        self.asked = asked
        self.socket = sock
        self.request = request
        self.sent_ns = time.monotonic_ns()
        self.first_text_ns = 0
        self.ended_ns = 0
        self.reads: list[tuple[int, bytes]] = []
        self.failure: str | None = "it did not end in time"

    @property
    def has_text_or_ended(self) -> bool:
        """Say whether there is nothing more to wait for before the first text."""
        return bool(self.first_text_ns or self.ended_ns)

    def receive(self) -> bool:
        """Take what is there; say whether that was the end."""
        data = self.socket.recv(READ_BYTES)
        now = time.monotonic_ns()
        self.reads.append((now, data))
        if not self.first_text_ns:
            so_far = data if len(self.reads) == 1 else b"".join(data for _, data in self.reads)
            if _REFUSED.match(so_far):
                return True
            if WORD in so_far:
                self.first_text_ns = now
        if len(data) >= len(LAST_CHUNK):
            return data.endswith(LAST_CHUNK)
        return not data or b"".join(data for _, data in self.reads[-6:]).endswith(LAST_CHUNK)


class Client:
    """Asks one server; *Resources:* closes what is open when its block ends."""

    def __init__(self, port: int, key: str | None) -> None:
        self._address = ("127.0.0.1", port)
        self._key = key
        self._epoll = select.epoll()
        self._plan: deque[tuple[int, Callable[[], object]]] = deque()
        self.live: dict[int, Reading] = {}
        self.held_us = array("l")
        """How long each wake-up took: what was ready may have waited for so long."""

        self.late_us = array("l")
        """How much later than planned each action was: held up, or waiting for a processor."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reading in tuple(self.live.values()):
            self.leave(reading)
        self._epoll.close()

    def plan(self, at_ns: int, action: Callable[[], object]) -> None:
        """Do it then, while the client runs; what is planned first comes first."""
        self._plan.append((at_ns, action))

    def ask(self, asked: Asked, session: str | None = None) -> Reading:
        """Send a prompt over a connection of its own."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reading = Reading(asked, sock, self._request(asked, session))
        if sock.connect_ex(self._address) in (0, errno.EINPROGRESS):
            self.live[sock.fileno()] = reading
            self._epoll.register(sock, select.EPOLLOUT)
        else:
            self._end(reading, "nobody listens")
        return reading

    def leave(self, reading: Reading) -> int:
        """Close its connection, and return the moment."""
        now = time.monotonic_ns()
        self._end(reading, "the client left")
        return now

    def run(self, is_over: Callable[[], object], seconds: float) -> bool:
        """Read until it is over, at most so long; say whether it is."""
        deadline = time.monotonic_ns() + int(seconds * 1e9)
        now = time.monotonic_ns
        while not is_over():
            at = now()
            if at >= deadline:
                return False
            if self._plan and self._plan[0][0] <= at:
                due, action = self._plan.popleft()
                self.late_us.append((at - due) // 1000)
                action()
                continue
            until = min(deadline, self._plan[0][0]) if self._plan else deadline
            ready = self._epoll.poll(max(until - now(), 0) / 1e9)
            woken = now()
            if self._plan and self._plan[0][0] <= woken:
                continue  # what is planned comes before what came too late for it
            for fd, events in ready:
                self._ready(self.live[fd], events)
            if ready:
                self.held_us.append((now() - woken) // 1000)
        return True

    def run_until_text(self, reading: Reading, seconds: float) -> bool:
        """Read until that answer has a first text; say whether it has."""
        self.run(lambda: reading.has_text_or_ended, seconds)
        return bool(reading.first_text_ns)

    def pause(self, seconds: float) -> None:
        """Only read, for so long."""
        self.run(lambda: False, seconds)

    def _request(self, asked: Asked, session: str | None) -> bytes:
        message = {"role": "user", "content": asked.prompt}
        body = json.dumps({"model": MODEL, "messages": [message], "stream": True}).encode()
        lines = ["POST /v1/chat/completions HTTP/1.1", "Host: 127.0.0.1"]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"Authorization: Bearer {self._key}"] if self._key else []
        lines += [f"X-Session-Id: {session}"] if session else []
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _ready(self, reading: Reading, events: int) -> None:
        try:
            if reading.request:
                # Small enough for any socket's buffer.
                reading.socket.send(reading.request)
                reading.request = b""
                self._epoll.modify(reading.socket, select.EPOLLIN)
            elif reading.receive():
                self._end(reading, None)
        except OSError as error:
            self._end(reading, error.strerror)

    def _end(self, reading: Reading, failure: str | None) -> None:
        if not reading.ended_ns:
            reading.ended_ns = time.monotonic_ns()
            reading.failure = failure
            self.live.pop(reading.socket.fileno(), None)
            reading.socket.close()
