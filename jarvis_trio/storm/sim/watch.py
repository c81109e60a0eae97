"""Sees peers close, in the order in which the kernel knows it."""

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import trio

_CLOSING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR | select.EPOLLONESHOT


def has_closed(fd: int) -> bool:
    """Say whether the peer of ``fd`` has closed, reset or half-closed by now."""
    look = select.poll()
    look.register(fd, select.POLLRDHUP)
    return bool(look.poll(0))


class PeerWatch:
    """Calls back, once, when a watched socket's peer has closed, reset or half-closed.

    Trio runs the tasks of one epoll batch in any order, so a task that reads a new request may run
    before the task whose peer closed earlier. Therefore closes are gathered here, by an epoll of
    their own: `run` gathers them as they come, and whoever is about to record something that must
    come after them calls `collect` first.

    *Resources:* a context manager; leaving it closes the epoll. Watched sockets stay the caller's,
    who leaves `watching` before closing one: so no descriptor here can be another connection's.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._on_close: dict[int, Callable[[], None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._epoll.close()

    @contextmanager
    def watching(self, fd: int, on_close: Callable[[], None]) -> Iterator[None]:
        """Call ``on_close`` if the peer of ``fd`` closes inside this block, or has closed."""
        self._epoll.register(fd, _CLOSING)
        self._on_close[fd] = on_close
        try:
            yield
        finally:
            if self._on_close.pop(fd, None) is not None:
                self._epoll.unregister(fd)

    def collect(self) -> None:
        """Call back for every close that the kernel has by now."""
        while ready := self._epoll.poll(0):
            for fd, _ in ready:
                self._epoll.unregister(fd)
                self._on_close.pop(fd)()

    async def run(self) -> None:
        """Collect for ever."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            self.collect()
