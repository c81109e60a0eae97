"""How the server comes to its end: nothing new, a grace for what runs, honest endings for the rest.

1. ``begin``: ``/readyz`` says so, new prompts are refused, requests that are still being sent too.
2. Streams may come to their end, and their readers take it, for as long as the grace lasts.
3. Then every stream that is left gets its ``server_shutdown`` frame, and a moment to deliver it.
4. Whoever is still connected takes nothing, or never will: their sockets are shut down.

Each step is left as soon as there is nothing to wait for, so that the process goes with its last
stream.
"""

from typing import Protocol

import structlog
import trio

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.web.client_socket import ClientSocket

LAST_WORDS_SECONDS = 0.5
"""What a reader has to take its terminal frame when the grace is over."""

log = structlog.get_logger("jarvis_trio")


class Draining(Protocol):
    """A request that is being handled."""

    client_socket: ClientSocket | None
    """Its connection's; None where nobody gave it one."""

    def stop_receiving(self) -> None:
        """Answer at once, if the request is still being sent."""
        ...


class Drain:
    """Knows every request that is being handled. Run it beside the sessions.

    ``begun`` and ``done`` are set as their names say. Above: whoever learns that the server is to
    go (:mod:`hypercorn_watch`). Below: the sessions, and the requests' sockets.
    """

    def __init__(self, sessions: Sessions, grace_seconds: float) -> None:
        self.begun = trio.Event()
        self.done = trio.Event()
        self._sessions = sessions
        self._grace_seconds = grace_seconds
        self._patience = trio.CancelScope()
        self._requests: set[Draining] = set()
        self._departures = trio.lowlevel.ParkingLot()

    def enter(self, request: Draining) -> None:
        """Take note that a request is being handled."""
        self._requests.add(request)

    def leave(self, request: Draining) -> None:
        """Take note that it is done with."""
        self._requests.discard(request)
        if not self._requests:
            self._departures.unpark_all()

    def begin(self) -> None:
        """Drain. Sync and idempotent; ``done`` tells when nothing is left to wait for."""
        if not self.begun.is_set():
            log.info("drain_begin", streams=len(self._sessions.streams), grace=self._grace_seconds)
            self._sessions.refuse_prompts()
            for request in list(self._requests):
                request.stop_receiving()
            self.begun.set()

    def hurry(self) -> None:
        """Cut the grace short: somebody asked twice."""
        self._patience.cancel(reason="asked twice to shut down")

    async def run(self) -> None:
        """Wait for ``begin``, then drain."""
        await self.begun.wait()
        self._patience.deadline = trio.current_time() + self._grace_seconds
        with self._patience:
            await self._sessions.wait_until_idle()
            await self._wait_for_departures()
        await self._sessions.end_all()
        with trio.move_on_after(LAST_WORDS_SECONDS):
            await self._wait_for_departures()
        for request in self._requests:
            if request.client_socket is not None:
                request.client_socket.shut_down()
        log.info("drain_done", cut_off=len(self._requests))
        self.done.set()

    async def _wait_for_departures(self) -> None:
        while self._requests:
            await self._departures.park()
