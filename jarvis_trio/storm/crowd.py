"""Reads the answers of thousands of calls in one task.

A task for each costs 35 µs a piece, most of it to wait for the socket anew; with an epoll that
stays armed it is a fifth of that. So the harness keeps up with servers that are faster than it.
"""

import os
import select
from time import monotonic_ns
from types import TracebackType
from typing import Final, Self

import trio

from jarvis_trio.storm.call import Call

PAUSE_SECONDS: Final = 0.001
"""How late a piece may be read: a pass of the event loop then reads all that came meanwhile."""

_PIECE_BYTES: Final = 16 * 1024
_MOST_AT_ONCE: Final = 256
"""Between so many reads other tasks get their turn."""


class Crowd:
    """Calls whose answers are read as they come. ``last_ns`` is when the last piece of any came.

    Resources: a context manager; leaving it closes the epoll. The calls stay the caller's.
    """

    def __init__(self) -> None:
        self.last_ns = monotonic_ns()
        self._epoll = select.epoll()
        self._reading: dict[int, tuple[Call, trio.Event]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._epoll.close()

    async def rest(self, call: Call) -> None:
        """Wait until the call's answer has been read to its end, of whatever kind."""
        descriptor = call.descriptor
        if descriptor is None:
            while await call.read():
                self.last_ns = monotonic_ns()
            return
        ended = trio.Event()
        self._reading[descriptor] = call, ended
        self._epoll.register(descriptor, select.EPOLLIN)
        try:
            await ended.wait()
        finally:
            if self._reading.pop(descriptor, None) is not None:
                self._epoll.unregister(descriptor)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            while self._read_those_ready():  # noqa: ASYNC110 - others get their turn
                await trio.lowlevel.checkpoint()
            await trio.sleep(PAUSE_SECONDS)

    def _read_those_ready(self) -> bool:
        """Read once from some of those that have something; say whether there may be more."""
        ready = self._epoll.poll(0, _MOST_AT_ONCE)
        for descriptor, _ in ready:
            call, ended = self._reading[descriptor]
            if not _read_once(call, descriptor):
                self._epoll.unregister(descriptor)
                del self._reading[descriptor]
                ended.set()
        if ready:
            self.last_ns = monotonic_ns()
        return len(ready) == _MOST_AT_ONCE


def _read_once(call: Call, descriptor: int) -> bool:
    try:
        data = os.read(descriptor, _PIECE_BYTES)
    except BlockingIOError:
        return True
    except OSError:
        call.was_reset = True
        data = b""
    return call.take(data)
