"""One person who types prompts without waiting for answers."""

from functools import partial

import trio

from jarvis_trio.storm.call import Call
from jarvis_trio.storm.stage import Stage


class Conversation:
    """Prompts of one session. Where the server has none, who types the next leaves the last.

    ``calls`` holds, by marker, what was sent; ``ended`` those whose answers have come to an end, or
    were left.
    """

    def __init__(self, stage: Stage, nursery: trio.Nursery) -> None:
        self.session = stage.new_session()
        self.calls: dict[str, Call] = {}
        self.ended: set[str] = set()
        self._stage = stage
        self._nursery = nursery
        self._reading = trio.CancelScope()
        self._answered: dict[str, trio.Event] = {}

    def type(self, marker: str, most_tokens: int | None = None) -> None:
        """Send a prompt, as it is scripted, and read its answer. Sync: nothing is waited for.

        ``most_tokens`` is for an upstream that is not ours.
        """
        if self.session is None:
            self._reading.cancel(reason="the next prompt is typed")
        self._reading = trio.CancelScope()
        self._answered[marker] = trio.Event()
        self._nursery.start_soon(partial(self._ask, marker, most_tokens, self._reading))

    async def wait_for_head(self, marker: str) -> None:
        """Wait until the server has said something to a prompt. Callers bound it in time."""
        await self._answered[marker].wait()

    async def _ask(self, marker: str, most_tokens: int | None, reading: trio.CancelScope) -> None:
        async with self._stage.asking(
            None, marker=marker, session=self.session, most_tokens=most_tokens
        ) as call:
            self.calls[marker] = call
            with reading:
                await call.head()
                self._answered[marker].set()
                await call.rest()
            if reading.cancelled_caught:
                call.leave()
        self._answered[marker].set()
        self.ended.add(marker)
