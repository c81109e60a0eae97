"""Wakes thousands of tasks at their times."""

import math
from heapq import heappop, heappush
from typing import Final

import trio

_TICK_SECONDS: Final = 0.001


class Pacer:
    """A clock that many tasks share: whoever is due in the same millisecond wakes together.

    `trio.sleep_until` costs more than all else that is done for a token, because each sleep is a
    cancel scope with a deadline of its own; here one task has one deadline per tick. A tick ends
    at a whole millisecond, so nobody wakes early, and nobody's lateness adds up as long as they
    reckon their next time from their first.
    """

    def __init__(self) -> None:
        self._ticks: list[int] = []  # a heap of the keys of _sleepers
        self._sleepers: dict[int, trio.lowlevel.ParkingLot] = {}
        self._sooner = trio.Event()

    async def sleep_until(self, due: float) -> None:
        """Wait until ``due`` (trio's clock, seconds; or for ever), and a tick longer at most."""
        if due == math.inf:
            await trio.sleep_forever()
        if due <= trio.current_time():
            await trio.lowlevel.checkpoint()
            return
        tick = math.ceil(due / _TICK_SECONDS)
        if tick not in self._sleepers:
            self._sleepers[tick] = trio.lowlevel.ParkingLot()
            heappush(self._ticks, tick)
            if self._ticks[0] == tick:
                self._sooner.set()
        await self._sleepers[tick].park()

    async def run(self) -> None:
        """Wake the others for ever."""
        while True:
            self._sooner = trio.Event()
            with trio.move_on_at(self._ticks[0] * _TICK_SECONDS if self._ticks else math.inf):
                await self._sooner.wait()
            now = trio.current_time()
            while self._ticks and self._ticks[0] * _TICK_SECONDS <= now:
                self._sleepers.pop(heappop(self._ticks)).unpark_all()
