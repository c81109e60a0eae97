"""Looks at, and shuts down, clients' sockets from inside the application.

Hypercorn sends to its clients inside a shield without a deadline: what waits there for a client
that does not read is reached by no cancel scope. The client's socket is reached: after
``shutdown(SHUT_RDWR)`` that send fails, and the request's task ends as if the client had left. The
socket is found among this process's descriptors by the addresses of both ends, which no two
connections share. A client on a unix socket has no address and is not found.
"""

import os
import socket
import stat
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

DESCRIPTORS = Path("/dev/fd")
BYTES_ACKED_OFFSET = 120
"""Of ``tcpi_bytes_acked``, a u64, in Linux' ``struct tcp_info``."""

INTERNET = (socket.AF_INET, socket.AF_INET6)

Address = tuple[str, int]
Ends = tuple[Address, Address]
"""The client's and our own address of a connection."""


def acknowledged_bytes(connections: Collection[Ends]) -> dict[Ends, int]:
    """Return how many bytes each client's kernel has ever taken from us; 0 where it cannot tell.

    That is how a slow client differs from one that does not read: a full send buffer says of both
    that it takes no more, and after megabytes of it only about a third less counts as writable.
    """
    return {ends: _acknowledged(sock) for ends, sock in _sockets() if ends in connections}


def shut_down(connections: Collection[Ends]) -> None:
    """Shut those connections down; whoever waits on them is told at once."""
    for ends, sock in _sockets():
        if ends in connections:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has gone meanwhile


def _acknowledged(sock: socket.socket) -> int:
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED_OFFSET + 8)
    except (OSError, AttributeError):
        return 0
    if len(info) < BYTES_ACKED_OFFSET + 8:
        return 0
    acked: int = struct.unpack_from("=Q", info, BYTES_ACKED_OFFSET)[0]
    return acked


def _sockets() -> Iterator[tuple[Ends, socket.socket]]:
    """Every connected TCP socket of this process, each lent for one step of the loop."""
    for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 - numbers, not paths
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with _lent(int(name)) as sock:
                if sock.type == socket.SOCK_STREAM and sock.family in INTERNET:
                    yield (_address(sock.getpeername()), _address(sock.getsockname())), sock
        except OSError:
            continue  # not connected, or gone meanwhile


@contextmanager
def _lent(fd: int) -> Iterator[socket.socket]:
    """Lend a socket object on a descriptor that belongs to somebody else, who goes on owning it."""
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _address(name: tuple[str, int]) -> Address:
    return name[0], name[1]
