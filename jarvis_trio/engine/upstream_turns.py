"""Whose turn it is at the upstream: so many streams at once, the others in the order they came.

A session has at most one stream here, in a turn or in the line, so the line is fair between
sessions: who asks again goes to its end. Leaving the line is being cancelled, like everything.
"""

import trio

from jarvis_trio.engine.stream import LiveStream


class UpstreamTurns:
    """``concurrency`` is the number of streams that the upstream is asked for at once, or None.

    How long the line may become is :class:`Admission`'s to say.
    """

    def __init__(self, concurrency: int | None) -> None:
        self._limiter = trio.CapacityLimiter(float("inf") if concurrency is None else concurrency)
        self._takers: set[LiveStream] = set()

    @property
    def waiting(self) -> int:
        """How many streams wait in the line."""
        return self._limiter.statistics().tasks_waiting

    async def take(self, stream: LiveStream) -> None:
        """Wait for a turn. *Resources:* the caller must :meth:`give_back`."""
        if self._limiter.available_tokens < 1:
            stream.log.info("stream_queued", ahead=self.waiting)
        await self._limiter.acquire_on_behalf_of(stream)
        self._takers.add(stream)

    def give_back(self, stream: LiveStream) -> None:
        """Let the next one have its turn; idempotent, also for a stream that never had one."""
        if stream in self._takers:
            self._takers.discard(stream)
            self._limiter.release_on_behalf_of(stream)
