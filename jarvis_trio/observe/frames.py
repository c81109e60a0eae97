"""What other threads are at, read while they run.

Python 3.11 makes a frame object when it is asked for, and may collect garbage in the middle of
that. What a collection calls lets the other thread run on; what is returned then is whatever lies
where the frame was, or the process ends. So nothing is collected meanwhile, and one thread reads
at a time.
"""

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_reading = threading.Lock()


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Let the block read frames, also those of other threads' coroutines.

    In a process that reads them, nothing else may switch the collector off and on.
    """
    with _reading:
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()


def frames_of(thread_id: int, until: FrameType | None = None) -> list[FrameType]:
    """Return a thread's frames, the innermost call first, at least one; ``until`` is left out."""
    with nothing_collected():
        return _outward(sys._current_frames()[thread_id], until)  # noqa: SLF001 - no other way


def frames_of_all() -> dict[int, list[FrameType]]:
    """Return every thread's frames, by its ident, the innermost call first."""
    with nothing_collected():
        threads = sys._current_frames().items()  # noqa: SLF001 - no other way
        return {thread_id: _outward(frame, None) for thread_id, frame in threads}


def _outward(innermost: FrameType, until: FrameType | None) -> list[FrameType]:
    frames = [innermost]
    while (outer := frames[-1].f_back) is not None and outer is not until:
        frames.append(outer)
    return frames
