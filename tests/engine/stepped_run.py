"""A trio run that a sync test turns by hand, in virtual time.

It runs in trio's guest mode, and the host's event loop is :meth:`SteppedRun.do`: between two calls
the run stands still, in the test's own thread, and anything may be looked at.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import trio
from outcome import Outcome, capture
from trio.testing import MockClock, wait_all_tasks_blocked

T = TypeVar("T")

ROUNDING_SECONDS: Final = 1e-6
"""Less than this between now and a deadline is what adding floats has left."""


class SteppedRun:
    """Runs ``main``, which is to start what is tested and then await :meth:`follow`.

    *Resources:* the caller must :meth:`finish`.
    """

    def __init__(self, main: Callable[["SteppedRun"], Awaitable[None]]) -> None:
        self.clock = MockClock()
        self._ticks: deque[Callable[[], object]] = deque()
        self._step: Callable[[], Any] | None = None
        self._outcome: Outcome[Any] | None = None
        self._end: Outcome[Any] | None = None
        self._is_finishing = False
        trio.lowlevel.start_guest_run(
            main,
            self,
            run_sync_soon_threadsafe=self._ticks.append,
            done_callback=self._note_end,
            clock=self.clock,
        )
        self.do(lambda: None)

    @property
    def now(self) -> float:
        """The time in the run."""
        return self.clock.current_time()

    def do(self, step: Callable[[], T]) -> T:
        """Call ``step`` in the run, and return when all of its tasks wait. *Errors:* the step's."""
        self._step, self._outcome = step, None
        while self._outcome is None:
            self._tick()
        result: T = self._outcome.unwrap()
        return result

    def jump(self, seconds: float) -> float:
        """Let time pass, at most so much, until something is due; return how much it was."""
        due = self.do(self._seconds_to_next_deadline)
        passing = min(seconds, due)
        self.do(lambda: self.clock.jump(passing))
        while 0 < (rest := self.do(self._seconds_to_next_deadline)) < ROUNDING_SECONDS:
            self.do(lambda: self.clock.jump(rest))
        return passing

    def finish(self) -> None:
        """Have :meth:`follow` return, and run to the end. *Errors:* what ``main`` raised."""
        self._is_finishing = True
        while self._end is None:
            self._tick()
        self._end.unwrap()

    async def follow(self) -> None:
        """Do the test's steps, one after the other, until it finishes."""
        while not self._is_finishing:
            # This is also what a run that stands still is left in: it never waits by itself, for
            # which guest mode would take a thread.
            await wait_all_tasks_blocked()
            if self._step is not None:
                step, self._step = self._step, None
                outcome = capture(step)
                await wait_all_tasks_blocked()
                self._outcome = outcome

    def _seconds_to_next_deadline(self) -> float:
        return trio.lowlevel.current_statistics().seconds_to_next_deadline

    def _tick(self) -> None:
        if self._end is not None:
            self._end.unwrap()
        self._ticks.popleft()()

    def _note_end(self, end: Outcome[Any]) -> None:
        self._end = end
