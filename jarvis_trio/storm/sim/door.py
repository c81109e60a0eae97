"""Listens and lets in: every connection that waits, at once."""

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NoReturn

import trio

from jarvis_trio.errors import ConfigError

_BACKLOG: Final = 4096
"""A storm's connections arrive together: more than wait here would retry after a second."""
_OUT_OF_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_OUT_OF_ROOM_SECONDS: Final = 0.1


def listen(host: str, port: int) -> tuple[socket.socket, int]:
    """Take the port (0 = any free one) and say which it is; clients may connect from now on.

    *Resources:* the caller closes the socket. *Errors:* `ConfigError` when the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # create_server adds the address to strerror; a gaierror has a number of its own kind
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from error
    listener.setblocking(False)
    return listener, int(listener.getsockname()[1])


async def let_in(
    listener: socket.socket, serve: Callable[[socket.socket], Awaitable[None]]
) -> NoReturn:
    """Run ``serve`` with each connection in a task of its own, until cancelled.

    Unlike `trio.serve_listeners`, which accepts one connection per pass of the scheduler, this
    accepts all that wait: else a storm's last stream begins seconds after its first.

    *Resources:* closes the listener; ``serve`` closes its socket.
    """
    with listener:
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(listener)
                try:
                    for sock in _waiting(listener):
                        nursery.start_soon(serve, sock)
                except OSError as error:
                    if error.errno not in _OUT_OF_ROOM:
                        raise
                    await trio.sleep(_OUT_OF_ROOM_SECONDS)  # nothing tells when there is room
    raise AssertionError("unreachable: the loop has no end")


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        except ConnectionAbortedError:
            continue
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock
