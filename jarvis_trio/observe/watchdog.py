"""Names whoever blocks the event loop, while it is still blocked.

A step is what a task does between two awaits. One that takes over ``BLOCKED_SECONDS`` is logged
as ``loop_blocked`` with its task and stack, and as ``loop_unblocked`` when it is over; a step that
never ends is logged too, since a thread looks. The loop itself only counts: trio takes at most one
step of a task in each round, so the same task in the same round is the same step, and a round of
many short steps is none of our business.

A step that holds the interpreter (one long call into C) holds the thread up as well. It is told of
once it is over, with ``watched=False``: then the machine may have been too busy to let us look.
"""

import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

import structlog
import trio
from trio.lowlevel import Task

from jarvis_trio.observe.frames import frames_of, nothing_collected
from jarvis_trio.observe.garbage import Collections
from jarvis_trio.observe.task_tree import join, place, walk

BLOCKED_SECONDS = 0.1
LOOK_SECONDS = 0.05
LOOK_AGAIN_SECONDS = 0.01
"""While a round lasts: the sooner a step is first seen, the less of it goes unseen."""

STOP_SECONDS = 1.0
"""What the thread needs at most to see that it is to end."""

log = structlog.get_logger("jarvis_trio")


class Pulse(trio.abc.Instrument):
    """Counts: odd while tasks take their steps, even while the loop waits."""

    def __init__(self) -> None:
        self.beat = 1

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """Take note that a round is over."""
        self.beat += 1

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """Take note that a round begins."""
        self.beat += 1


class Step(NamedTuple):
    """A step that is under way: whose, and since when at least."""

    frame_id: int
    """Of its task's outermost frame, which is the same for as long as a round lasts."""

    began: float
    told_as: str | None = None
    """The name that it was told of under, once it was."""


class Watchdog:
    """Watches the loop that runs :meth:`run`. ``on_blocked`` is called in the watching thread."""

    def __init__(self, on_blocked: Callable[[], None]) -> None:
        self._on_blocked = on_blocked
        self._pulse = Pulse()
        self._collections = Collections()
        self._stop = threading.Event()
        self._pause = LOOK_SECONDS
        self._due = 0.0
        self._beat = 0
        self._step: Step | None = None

    async def run(self) -> None:
        """Watch until cancelled. *Resources:* the thread has ended when this returns."""
        own = _outermost(trio.lowlevel.current_task())
        loop = own and own.f_back  # which takes the steps
        args = (trio.lowlevel.current_root_task(), loop, threading.get_ident())
        thread = threading.Thread(target=self._watch, args=args, name="watchdog", daemon=True)
        trio.lowlevel.add_instrument(self._pulse)
        try:
            thread.start()
            with self._collections.noted():
                await trio.sleep_forever()
        finally:
            self._stop.set()
            trio.lowlevel.remove_instrument(self._pulse)
            thread.join(STOP_SECONDS)

    def _watch(self, root: Task, loop: FrameType | None, thread_id: int) -> None:
        self._due = time.monotonic() + self._pause
        try:
            while not self._stop.wait(self._pause):
                self._look(root, loop, thread_id, time.monotonic())
            self._finish(time.monotonic())
        except Exception:  # a thread that dies says so to nobody
            log.exception("watchdog_failed")

    def _look(self, root: Task, loop: FrameType | None, thread_id: int, now: float) -> None:
        is_late = now - self._due >= BLOCKED_SECONDS
        due = self._due
        beat = self._pulse.beat
        is_new_round = beat != self._beat
        self._beat = beat
        self._pause = LOOK_AGAIN_SECONDS if beat % 2 else LOOK_SECONDS
        self._due = now + self._pause
        if is_new_round:
            self._finish(now)
        if beat % 2 == 0 or (is_new_round and not is_late):
            return
        frames = frames_of(thread_id, until=loop)
        if self._pulse.beat != beat:
            return
        step = self._step
        if step is None or step.frame_id != id(frames[-1]):
            self._finish(now)
            step = Step(id(frames[-1]), due if is_late else now)
        if step.told_as is None and now - step.began >= BLOCKED_SECONDS:
            step = self._tell(step, root, frames, now, watched=not is_late)
        self._step = step

    def _tell(
        self, step: Step, root: Task, frames: list[FrameType], now: float, *, watched: bool
    ) -> Step:
        """Tell of a step that takes too long."""
        if self._collections.seconds_since(step.began) > BLOCKED_SECONDS:
            name = "garbage collection"
        else:
            with nothing_collected():
                names = (task.name for task in walk(root) if _outermost(task) is frames[-1])
                name = next(names, "-")
        log.warning(
            "loop_blocked",
            ms=round((now - step.began) * 1000),
            task=name,
            stack=join([place(frame, frame.f_lineno) for frame in frames]),
            watched=None if watched else False,
        )
        self._on_blocked()
        return step._replace(told_as=name)

    def _finish(self, now: float) -> None:
        """Take note that the step is over."""
        step, self._step = self._step, None
        if step is not None and step.told_as is not None:
            log.warning("loop_unblocked", ms=round((now - step.began) * 1000), task=step.told_as)


def _outermost(task: Task) -> FrameType | None:
    return task.coro.cr_frame
