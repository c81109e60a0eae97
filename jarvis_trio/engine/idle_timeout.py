"""How long an upstream may say nothing in the middle of an answer.

A deadline of each stream's own would be set anew with every frame, which costs the event loop a
tenth of its time. Here it is a number, and one task waits for the earliest.
"""

import math

import trio


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
            for scope in [scope for scope, end in self._ends.items() if end <= now]:
                self.stop(scope)
                scope.cancel(reason="the upstream said nothing for too long")
