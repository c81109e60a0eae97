"""Learns that Hypercorn's CLI is shutting down, which it tells an application only afterwards.

``lifespan.shutdown`` comes when all connections are gone. Two signs come before it: the listening
sockets are closed, and a signal. SIGTERM reaches a worker directly when the first of several
workers has exited: Hypercorn terminates the others, which this worker must survive until it has
drained. With ``workers = 0`` it is the only sign, and Hypercorn is not told at all; then the
drained process ends itself by the same signal.
"""

import multiprocessing
import os
import signal
import socket
import stat
from pathlib import Path

import trio

from jarvis_trio.web.drain import Drain

DESCRIPTORS = Path("/dev/fd")

LOOK_SECONDS = 0.1
"""How soon closed listeners are noticed; Hypercorn's workers look for their own sign as often."""

MASTERS_WORD_SECONDS = 1.0
"""What a master that was told of the same signal needs at most until its workers close up."""


async def begin_drain_when_told(drain: Drain) -> None:
    """Begin ``drain`` on either sign. Run it until cancelled.

    A second signal to a process without a master hurries the drain; masters do not pass it on.
    """
    listeners = Listeners()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_signals, drain, listeners)
        if not listeners.are_closed():
            nursery.start_soon(_watch_listeners, drain, listeners)


async def _watch_listeners(drain: Drain, listeners: "Listeners") -> None:
    await _wait_until_closed(listeners)
    drain.begin()


async def _wait_until_closed(listeners: "Listeners") -> None:
    while not listeners.are_closed():  # noqa: ASYNC110 - nobody tells of a closed descriptor
        await trio.sleep(LOOK_SECONDS)


async def _watch_signals(drain: Drain, listeners: "Listeners") -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            async for _ in signals:
                if nursery.child_tasks:
                    # A master that goes sends its workers two signals of its own.
                    if multiprocessing.parent_process() is None:
                        drain.hurry()
                else:
                    drain.begin()
                    nursery.start_soon(_end_unless_hypercorn_does, drain, listeners)


async def _end_unless_hypercorn_does(drain: Drain, listeners: "Listeners") -> None:
    await drain.done.wait()
    with trio.move_on_after(MASTERS_WORD_SECONDS):
        await _wait_until_closed(listeners)
    if not listeners.are_closed():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    await trio.sleep_forever()  # Hypercorn ends the process; another signal still hurries


class Listeners:
    """The listening sockets of the process, as they were when this was made."""

    def __init__(self) -> None:
        self._inodes: dict[int, int] = {}
        for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 - numbers, not paths
            inode = _socket_inode(int(name))
            if inode is not None and _listens(int(name)):
                self._inodes[int(name)] = inode

    def are_closed(self) -> bool:
        """Say whether all are gone: none of their descriptors is the same socket any more."""
        return not any(_socket_inode(fd) == inode for fd, inode in self._inodes.items())


def _socket_inode(fd: int) -> int | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


def _listens(fd: int) -> bool:
    sock = socket.socket(fileno=fd)
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        sock.detach()
