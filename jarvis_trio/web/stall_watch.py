"""Ends responses whose client takes nothing for too long.

A slow client is served to the end, however slow: what counts is whether its kernel has taken any
byte meanwhile. Two kinds of stall are told apart. Where the whole connection stands still, its
socket is shut down, which ends everything on it. Where bytes flow but one ``send`` does not come
to its end, an HTTP/2 client withholds the permission to go on with that one stream, and only that
request is cancelled.
"""

from typing import NamedTuple, Protocol

import structlog
import trio

from jarvis_trio.web.peer_sockets import Ends, acknowledged_bytes, shut_down

log = structlog.get_logger("jarvis_trio")

LOOKS_PER_TIMEOUT = 4
"""How often a ``send`` that takes long is looked at; a stall is found two looks late at most."""


class Sending(Protocol):
    """A response with a ``send`` under way."""

    ends: Ends | None
    """The addresses of its connection; None where it has none (a unix socket)."""

    shares_connection: bool
    """Other responses may be on the same connection (HTTP/2)."""

    def give_up(self) -> None:
        """Let go of the stream and cancel the request; must not await."""
        ...


class _Seen(NamedTuple):
    """What is known of a connection with a slow ``send``."""

    first: float
    standing_since: float
    taken: int


class StallWatch:
    """Knows every ``send`` under way, oldest first. Run it in the application's nursery."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._look_seconds = timeout_seconds / LOOKS_PER_TIMEOUT
        self._under_way: dict[Sending, float] = {}
        self._seen: dict[Ends, _Seen] = {}
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
                self._seen.clear()
                self._news = trio.Event()
                await self._news.wait()
            await trio.sleep(self._look_seconds)
            self._look(trio.current_time())

    def _look(self, now: float) -> None:
        long_since = now - self._look_seconds
        slow = [sending for sending, began in self._under_way.items() if began <= long_since]
        if not slow:
            self._seen.clear()
            return
        self._observe({sending.ends for sending in slow if sending.ends is not None}, now)
        # Looks come in a grid: half of one more or less must not decide.
        latest = now - self._timeout_seconds + self._look_seconds / 2
        standing = {ends for ends, seen in self._seen.items() if seen.standing_since <= latest}
        for sending in slow:
            seen = self._seen.get(sending.ends) if sending.ends is not None else None
            is_watched_for_long = seen is not None and seen.first <= latest
            is_overdue = self._under_way[sending] <= latest
            if sending.ends in standing or (
                sending.shares_connection and is_overdue and is_watched_for_long
            ):
                self.end(sending)
                sending.give_up()
        if standing:
            shut_down(standing)

    def _observe(self, connections: set[Ends], now: float) -> None:
        """Note of each connection since when it is watched, and since when it stands still."""
        taken = acknowledged_bytes(connections)
        before, self._seen = self._seen, {}
        for ends in connections:
            count = taken.get(ends, 0)
            known = before.get(ends)
            if known is None:
                self._seen[ends] = _Seen(now, now, count)
            elif known.taken != count:
                self._seen[ends] = _Seen(known.first, now, count)
            else:
                self._seen[ends] = known
