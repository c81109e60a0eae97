"""The socket of a client, as its requests know it: whether it gets on, and how to end it.

A request can be cancelled while it sends, but what it has handed over is its connection's, which
waits for a client that does not read. The client's socket is reached: after ``shutdown(SHUT_RDWR)``
that send fails, and all requests of the connection end as if the client had left.
:mod:`hypercorn_connection` gives it to every request of its connection, whatever it is (TCP, TLS, a
unix socket). A request that came another way (QUIC, another server, a test) has none.
"""

import fcntl
import os
import socket
import sys
import termios
from contextlib import suppress
from typing import NamedTuple

import trio

CLIENT_SOCKET = "jarvis_trio.client_socket"
"""Where a request finds its :class:`ClientSocket`, in the ``state`` of its ASGI scope."""

UNKNOWN = -1


class Progress(NamedTuple):
    """How far a connection has come. Twice the same: nothing has moved in between."""

    writes: int
    """Those that the kernel has taken whole, of whichever request."""

    waiting: int
    """Bytes that the kernel still holds for the client, UNKNOWN where it does not say.

    Over TCP, these are not acknowledged; on a unix socket, they are in writes that the client has
    not read to their end.
    """


class ClientSocket:
    """One connection's socket. All its requests have the same one.

    *Resources:* the socket is Hypercorn's, and may have been closed already.
    """

    def __init__(self, sock: trio.socket.SocketType, *, is_plain: bool) -> None:
        self._sock = sock
        self._is_plain = is_plain
        self._writes = 0

    def send_nowait(self, data: bytes) -> int:
        """Return how much of ``data`` the kernel has taken at once.

        None of it where it is not ours to send as it is (TLS), and where there is a fault, which
        is for whoever waits to find.
        """
        if not self._is_plain:
            return 0
        try:
            return os.write(self._sock.fileno(), data)
        except OSError:
            return 0

    def count_write(self) -> None:
        """Take note that the kernel has taken a write whole."""
        self._writes += 1

    def progress(self) -> Progress:
        """Say how far the connection has come.

        That is how a slow client differs from one that does not read: a full send buffer says of
        both that it takes no more, and is not writable again before much of it is gone.
        """
        return Progress(self._writes, _waiting_bytes(self._sock))

    def shut_down(self) -> None:
        """Shut the connection down; whoever waits on it is told at once."""
        with suppress(OSError):  # it has gone meanwhile
            self._sock.shutdown(socket.SHUT_RDWR)


def _waiting_bytes(sock: trio.socket.SocketType) -> int:
    try:
        count = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # the latter for the descriptor of a closed socket
        return UNKNOWN
    return int.from_bytes(count, sys.byteorder)
