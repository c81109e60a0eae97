"""Ends responses whose client takes nothing for too long.

A slow client is served to the end: what counts is whether it takes anything meanwhile, not how long
a ``send`` lasts. (On a unix socket, what it takes is seen in whole writes of at most 16 KB.) Two
kinds of stall are told apart. Where the kernel holds bytes for the client and nothing moves, the
socket is shut down, which ends everything on it. Where bytes flow, or none are left, but one
``send`` does not come to its end, an HTTP/2 client withholds the permission to go on with that one
stream, and only that request is cancelled. What moves is not known of a single stream: there, a
client is too slow that does not take a whole ``send``, of at most 16 KB, in time.
"""

from typing import NamedTuple, Protocol

import structlog
import trio

from jarvis_trio.web.client_socket import ClientSocket, Progress

log = structlog.get_logger("jarvis_trio")

LOOKS_PER_TIMEOUT = 4
"""How often a ``send`` that takes long is looked at; a stall is found two looks late at most."""


class Sending(Protocol):
    """A response with a ``send`` under way."""

    client_socket: ClientSocket | None
    """Its connection's; None where nobody gave it one, and so nothing can be known."""

    shares_connection: bool
    """Other responses may be on the same connection (HTTP/2)."""

    def give_up(self) -> None:
        """Let go of the stream and cancel the request; idempotent, and must not await."""
        ...


class _Seen(NamedTuple):
    """What is known of a connection with a slow ``send``."""

    first: float
    standing_since: float
    progress: Progress


class StallWatch:
    """Knows every ``send`` under way, oldest first. Run it in the application's nursery."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._look_seconds = timeout_seconds / LOOKS_PER_TIMEOUT
        self._under_way: dict[Sending, float] = {}
        self._seen: dict[ClientSocket, _Seen] = {}
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
        watched = [(sending, sending.client_socket) for sending in slow if sending.client_socket]
        self._observe({client for _, client in watched}, now)
        # Looks come in a grid: half of one more or less must not decide.
        latest = now - self._timeout_seconds + self._look_seconds / 2
        for sending, client in watched:
            seen = self._seen[client]
            is_overdue = self._under_way[sending] <= latest and seen.first <= latest
            is_flowing = seen.standing_since == now
            if seen.standing_since <= latest:
                client.shut_down()
            # While nothing flows, the whole connection may be what stands still: without its
            # requests, it would be idle and none of our affair.
            elif not (sending.shares_connection and is_overdue and is_flowing):
                continue
            self.end(sending)
            sending.give_up()

    def _observe(self, clients: set[ClientSocket], now: float) -> None:
        """Note of each connection since when it is watched, and since when it stands still."""
        before, self._seen = self._seen, {}
        for client in clients:
            progress = client.progress()
            known = before.get(client)
            if known is None:
                self._seen[client] = _Seen(now, now, progress)
            elif progress != known.progress or progress.waiting == 0:
                self._seen[client] = _Seen(known.first, now, progress)
            else:
                self._seen[client] = known
