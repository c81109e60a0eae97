"""Waits, for many connections at once, until what gathers in their socket buffers is to be read.

A ``move_on_after`` round ``wait_readable`` says the same for one of them, and would be most of what
a token costs: a cancel scope with a deadline, a cancellation, and two changes of trio's epoll for
each wait. Here waits end on a grid, so that many end in one round of the event loop, and a socket
is registered once, in an epoll that speaks only of those that hold much or have come to their end.

A wait ends at the last line of the grid that is not too late. The next one, which begins there,
then lasts as long as the grid allows: of 75 ms, all.
"""

import math
import select
import socket
import sys
from heapq import heappop, heappush
from typing import Final

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

GRID_SECONDS: Final = 0.025
"""The first of many waits of one connection may be so much shorter than was asked for."""

MUCH_BYTES: Final = 16 * 1024
"""About a kilobyte of text: of a chunk with one token, the text is the smallest part."""


class Gatherer:
    """One socket's place. At most one task waits."""

    __slots__ = ("_sock", "ends_at", "has_ended", "task", "wakes_at")

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock
        self.task: Task | None = None
        self.ends_at = 0.0
        self.has_ended = False
        self.wakes_at = 1

    def wake_at(self, size: int) -> None:
        """Have the kernel speak of bytes only where there are so many, or no more to come."""
        if size != self.wakes_at:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self.wakes_at = size

    def wake(self) -> None:
        """End the wait, if there is one."""
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def abort(self, _: RaiseCancelT) -> Abort:
        """Leave the wait, being cancelled."""
        self.task = None
        return Abort.SUCCEEDED


class Gathering:
    """Knows the sockets that gather, while :meth:`run` runs on Linux. Else a wait is a sleep."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._gatherers: dict[int, Gatherer] = {}
        self._ends: list[float] = []  # a heap of the keys of _ending
        self._ending: dict[float, list[Gatherer]] = {}
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """End waits until cancelled: no sooner than whoever waits, as nobody would wake them."""
        if sys.platform != "linux":
            await trio.sleep_forever()
        with select.epoll() as epoll:
            self._epoll = epoll
            try:
                while True:
                    with trio.CancelScope(deadline=self._next_end()) as self._scope:
                        await trio.lowlevel.wait_readable(epoll.fileno())
                    self._end_those_ready(epoll)
                    self._end_those_due(trio.current_time())
            finally:
                self._epoll = None

    def add(self, sock: trio.socket.SocketType) -> Gatherer:
        """Take in a socket. *Resources:* the caller must ``remove`` it before it is closed."""
        gatherer = Gatherer(sock)
        if self._epoll is not None:
            mask = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
            self._epoll.register(sock.fileno(), mask)
            self._gatherers[sock.fileno()] = gatherer
        return gatherer

    def remove(self, sock: trio.socket.SocketType) -> None:
        """Forget a socket; idempotent."""
        if self._gatherers.pop(sock.fileno(), None) is not None and self._epoll is not None:
            self._epoll.unregister(sock.fileno())

    async def wait(self, gatherer: Gatherer, seconds: float) -> None:
        """Wait ``seconds``, or until the socket holds much or has come to its end."""
        if gatherer.has_ended or seconds <= 0:
            await trio.lowlevel.checkpoint()
            return
        if self._epoll is None:
            await trio.sleep(seconds)
            return
        gatherer.wake_at(MUCH_BYTES)
        grid = min(GRID_SECONDS, seconds / 2)
        end = gatherer.ends_at = (trio.current_time() + seconds) // grid * grid
        ending = self._ending.get(end)
        if ending is None:
            self._ending[end] = [gatherer]
            heappush(self._ends, end)
            if self._ends[0] == end:
                self._scope.deadline = end
        else:
            ending.append(gatherer)
        gatherer.task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(gatherer.abort)

    def _next_end(self) -> float:
        return self._ends[0] if self._ends else math.inf

    def _end_those_ready(self, epoll: select.epoll) -> None:
        ends = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
        for descriptor, mask in epoll.poll(0):
            gatherer = self._gatherers[descriptor]
            gatherer.has_ended = gatherer.has_ended or bool(mask & ends)
            gatherer.wake()

    def _end_those_due(self, now: float) -> None:
        while self._ends and self._ends[0] <= now:
            end = heappop(self._ends)
            for gatherer in self._ending.pop(end):
                if gatherer.ends_at == end:  # else it was woken before, and waits anew
                    gatherer.wake()
