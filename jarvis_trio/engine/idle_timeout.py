"""How long an upstream may say nothing, before an answer and in the middle of it.

A deadline of each stream's own would be set anew with every frame, which costs the event loop a
tenth of its time. Here it is a number, and one task waits for the earliest.

Time in which this process stood still (a paused container, a stopped job) does not count: what the
upstream said meanwhile has not been read yet.
"""

import math
from typing import Final

import trio

STOOD_STILL_SECONDS: Final = 5.0
"""A loop that is as late as this was not merely busy. It is also what everybody is given then, to
read what is there."""


class IdleTimeout:
    """Cancels the scopes whose time has come. Run :meth:`run` beside the streams."""

    def __init__(self) -> None:
        self._ends: dict[trio.CancelScope, float] = {}
        self._looks_at = math.inf
        self._is_sooner = trio.Event()

    def begin(self, scope: trio.CancelScope, deadline: float) -> None:
        """Cancel ``scope`` at ``deadline``, unless this is called again before. Cheap."""
        self._ends[scope] = deadline
        if deadline < self._looks_at:
            self._is_sooner.set()

    def stop(self, scope: trio.CancelScope) -> None:
        """Let ``scope`` be. Idempotent; whoever begins must stop, or it is kept until its end."""
        self._ends.pop(scope, None)

    async def run(self) -> None:
        """Cancel each scope at its deadline, until cancelled."""
        while True:
            self._looks_at = min(self._ends.values(), default=math.inf)
            with trio.move_on_at(self._looks_at):
                await self._is_sooner.wait()
            self._is_sooner = trio.Event()
            now = trio.current_time()
            late_seconds = now - self._looks_at
            if late_seconds > STOOD_STILL_SECONDS:
                for scope in self._ends:
                    self._ends[scope] += late_seconds + STOOD_STILL_SECONDS
            for scope in [scope for scope, end in self._ends.items() if end <= now]:
                self.stop(scope)
                scope.cancel(reason="the upstream said nothing for too long")
