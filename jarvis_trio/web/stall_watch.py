"""Ends responses whose client takes nothing for too long.

A slow client is served to the end, however slow: what counts is whether its kernel has taken any
byte meanwhile. Two kinds of stall are told apart. Where the whole connection stands still, its
socket is shut down, which ends everything on it. Where bytes flow but one ``send`` does not come
to its end, an HTTP/2 client withholds the permission to go on with that one stream, and only that
request is cancelled.
"""

from typing import Protocol

import structlog
import trio

from jarvis_trio.web.peer_sockets import Ends, acknowledged_bytes, shut_down

log = structlog.get_logger("jarvis_trio")

LOOKS_PER_TIMEOUT = 4
"""How often a ``send`` that takes long is looked at; a stall is found at most a look too late."""


class Sending(Protocol):
    """A response with a ``send`` under way."""

    ends: Ends | None
    """The addresses of its connection; None where it has none (a unix socket)."""

    shares_connection: bool
    """Other responses may be on the same connection (HTTP/2)."""

    def give_up(self) -> None:
        """Let go of the stream and cancel the request; must not await."""
        ...


class StallWatch:
    """Knows every ``send`` under way, oldest first. Run it in the application's nursery."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._look_seconds = timeout_seconds / LOOKS_PER_TIMEOUT
        self._under_way: dict[Sending, float] = {}
        self._progress: dict[Ends, tuple[int, float]] = {}
        self._news = trio.Event()

    def begin(self, sending: Sending) -> None:
        """Take note that a ``send`` begins. On the path of every write: cheap."""
        if not self._under_way:
            self._news.set()
        self._under_way[sending] = trio.current_time()

    def end(self, sending: Sending) -> None:
        """Take note that it is done or has failed; idempotent."""
        self._under_way.pop(sending, None)

    async def run(self) -> None:
        """Look at every ``send`` that takes long, until cancelled."""
        while True:
            if not self._under_way:
                self._progress.clear()
                self._news = trio.Event()
                await self._news.wait()
            await trio.sleep(self._look_seconds)
            self._look(trio.current_time())

    def _look(self, now: float) -> None:
        long_since = now - self._look_seconds
        slow = [sending for sending, began in self._under_way.items() if began <= long_since]
        if not slow:
            self._progress.clear()
            return
        self._note_progress({sending.ends for sending in slow if sending.ends is not None}, now)
        latest = now - self._timeout_seconds
        overdue = [sending for sending in slow if self._under_way[sending] <= latest]
        still = {
            sending.ends
            for sending in overdue
            if sending.ends is not None and self._progress[sending.ends][1] <= latest
        }
        for sending in overdue:
            if sending.ends in still or sending.shares_connection:
                self.end(sending)
                sending.give_up()
        if still:
            shut_down(still)

    def _note_progress(self, connections: set[Ends], now: float) -> None:
        """Remember since when each of them has taken nothing."""
        taken = acknowledged_bytes(connections)
        before = self._progress
        self._progress = {}
        for ends in connections:
            count = taken.get(ends, 0)
            known = before.get(ends)
            since = known[1] if known is not None and known[0] == count else now
            self._progress[ends] = (count, since)
