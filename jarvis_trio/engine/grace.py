"""How long what nobody reads is there for who comes back."""

from collections.abc import Callable

import trio


class Grace:
    """Ends what nobody came back for. Run :meth:`run` beside the streams.

    All have the same ``seconds``, so the first to begin is the first to end, and one task waits for
    all of them. ``held_bytes`` is what a stream that lives on holds of its frames meanwhile.
    """

    def __init__(self, seconds: float, held_bytes: int) -> None:
        self.seconds = seconds
        self.held_bytes = held_bytes
        self._ends: dict[str, tuple[float, Callable[[], None]]] = {}
        self._news = trio.Event()

    def begin(self, stream_id: str, at_end: Callable[[], None]) -> None:
        """Call ``at_end``, which must not raise, when the grace that begins now is over.

        One that has begun must have been stopped before.
        """
        self._ends[stream_id] = (trio.current_time() + self.seconds, at_end)
        self._news.set()

    def stop(self, stream_id: str) -> None:
        """Somebody is there, or there is nothing to come back to. Idempotent."""
        self._ends.pop(stream_id, None)

    def left_seconds(self, stream_id: str) -> float | None:
        """Return how long it is there yet; None where no grace has begun."""
        deadline, _ = self._ends.get(stream_id, (None, None))
        return None if deadline is None else max(0.0, deadline - trio.current_time())

    async def run(self) -> None:
        """End each at its time, until cancelled."""
        while True:
            while not self._ends:
                self._news = trio.Event()
                await self._news.wait()
            deadline, _ = next(iter(self._ends.values()))
            await trio.sleep_until(deadline)
            self._end_all(trio.current_time())

    def _end_all(self, now: float) -> None:
        for stream_id, (deadline, at_end) in list(self._ends.items()):
            if deadline > now:
                break
            self.stop(stream_id)
            at_end()
