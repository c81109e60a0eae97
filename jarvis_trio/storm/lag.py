"""How late the harness itself is: what it measures beyond that is the server's."""

import trio

BEAT_SECONDS = 0.005
TOO_LATE_MS = 25.0
"""A harness that is so late has no say about latencies."""


class LoopLag:
    """Sleeps for short times and notes how much longer they took. Run it beside the scenarios."""

    def __init__(self) -> None:
        self.worst_ms = 0.0

    def restart(self) -> None:
        """Forget what was; a new scenario begins."""
        self.worst_ms = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + BEAT_SECONDS
            await trio.sleep_until(due)
            self.worst_ms = max(self.worst_ms, (trio.current_time() - due) * 1000)
