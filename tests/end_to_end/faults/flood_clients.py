"""Clients that send more, or less, than any server should have to take: raw frames and threads."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from hpack import Encoder

from tests.end_to_end.faults.raw_clients import connect, reset
from tests.end_to_end.processes import WAIT_SECONDS, Server, descriptors_of

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *range(5),
    *range(6, 10),
)
UNKNOWN = 0x77
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


HELLO = PREFACE + frame(SETTINGS)
"""The first bytes of a client that knows beforehand that this is an HTTP/2 server."""


def head(path: str = "/healthz", *, key: bool = False) -> bytes:
    """Return the header block of a request, which leaves no trace in the compression's state."""
    fields = [(":method", "POST" if key else "GET"), (":path", path)]
    fields += [(":scheme", "http"), (":authority", "localhost")]
    if key:
        fields += [("authorization", "Bearer devkey"), ("content-type", "application/json")]
    block = Encoder()
    block.header_table_size = 0
    return bytes(block.encode(fields)[1:])  # without the change of the table's size


def frames_of(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of each whole frame."""
    while len(received) >= 9:
        end = 9 + int.from_bytes(received[:3])
        if len(received) >= end:
            yield received[3], received[9:end]
        received = received[end:]


class Flood:
    """Sends ``first``, then ``again`` over and over, while it is entered; it comes back if dropped.

    Its thread ends with it, and so does its connection.
    """

    def __init__(self, server: Server, first: bytes, again: bytes, *, reads: bool = True) -> None:
        self._server, self._first, self._again = server, first, again
        self._reads = reads
        self._has_begun, self._ends = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.received = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._has_begun.wait(WAIT_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ends.is_set():
            sock = connect(self._server, receive_buffer=None if self._reads else 4096)
            with contextlib.suppress(OSError):
                sock.sendall(self._first)
                sock.setblocking(False)
                self._flood(sock)
            reset(sock)  # or the server would go on with megabytes that its kernel holds

    def _flood(self, sock: socket.socket) -> None:
        rest = memoryview(self._again)
        while not self._ends.is_set():
            moved = False
            with contextlib.suppress(BlockingIOError):
                count = sock.send(rest)
                self.sent += count
                rest = rest[count:] or memoryview(self._again)
                moved = True
            if self._reads:
                with contextlib.suppress(BlockingIOError):
                    while piece := sock.recv(1 << 20):
                        self.received += len(piece)
                        moved = True
                    return  # the server has closed
            self._has_begun.set()
            if not moved:
                time.sleep(0.002)


def workers(server: Server) -> list[Path]:
    """Return the /proc directories of whoever serves, under either launcher."""
    return server.children() or [Path(f"/proc/{server.process.pid}")]


def descriptors(server: Server) -> int:
    return sum(map(descriptors_of, workers(server)))


def resident_megabytes(server: Server) -> float:
    lines = [
        line
        for worker in workers(server)
        for line in (worker / "status").read_text("ascii").splitlines()
    ]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


class Trickle:
    """A client that sends one byte of ``rest`` at each turn, and reads nothing but its end."""

    def __init__(self, sock: socket.socket, rest: bytes = b"") -> None:
        sock.setblocking(False)
        self.sock = sock
        self.received = b""
        self._rest = rest
        self.is_dropped = False

    def turn(self) -> None:
        try:
            if self._rest:
                self.sock.send(self._rest[:1])
                self._rest = self._rest[1:]
            while piece := self.sock.recv(65_536):
                self.received += piece
            self.is_dropped = True
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.is_dropped = True


def run_until(
    trickles: dict[str, Trickle], are_done: Callable[[Trickle], bool]
) -> dict[str, float]:
    """Let all of them go on until each is done; return when, on the monotonic clock, each was."""
    deadline = time.monotonic() + WAIT_SECONDS
    done_at: dict[str, float] = {}
    while len(done_at) < len(trickles):
        for name in trickles.keys() - done_at.keys():
            trickles[name].turn()
            if are_done(trickles[name]):
                done_at[name] = time.monotonic()
        assert time.monotonic() < deadline, trickles.keys() - done_at.keys()
        time.sleep(0.02)
    return done_at
