"""SIGUSR1 asks what this process is doing.

The loop prints the report when it is free. The stack of every thread is printed at once, also while
the loop is stuck in Python or in a system call: Python runs a handler between two instructions of
the main thread, whatever trio is at. A call into C that nothing interrupts holds it up.

``faulthandler`` would not even need that, but reads frames while they change: under load it ended
the server with a segmentation fault within hundreds to thousands of signals (Python 3.11).
"""

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import trio

from jarvis_trio.observe.frames import frames_of_all
from jarvis_trio.observe.task_tree import place

STOP_SECONDS = 1.0

Print = Callable[[str], None]


async def report_on_signal(make_report: Callable[[], str], to_stderr: Print) -> None:
    """Report on every SIGUSR1, until cancelled. ``to_stderr`` must not wait.

    Outside of the main thread, which alone may handle signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    with trio.open_signal_receiver(signal.SIGUSR1) as signals, _stacks_on_signal(to_stderr):
        async for _ in signals:
            to_stderr(make_report())


def ignore_until_then() -> None:
    """Let a SIGUSR1 that comes too early or too late do nothing: by default it ends the process."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@contextlib.contextmanager
def _stacks_on_signal(to_stderr: Print) -> Iterator[None]:
    """Have a thread print the stacks on a signal, and tell whoever was told before."""
    # A handler may interrupt its own thread inside of any other lock, or of itself.
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def handle(number: int, frame: FrameType | None) -> None:
        asked.put(True)
        if callable(before):
            before(number, frame)

    def print_stacks() -> None:
        while asked.get():
            to_stderr(all_stacks())

    thread = threading.Thread(target=print_stacks, name="signal report", daemon=True)
    thread.start()
    before = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
        asked.put(False)
        thread.join(STOP_SECONDS)


def all_stacks() -> str:
    """Return the stack of every thread but the calling one, innermost call first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = []
    for ident, frames in frames_of_all().items():
        if ident == threading.get_ident():
            continue
        lines.append(f"thread {names.get(ident, ident)}, innermost call first")
        lines += [f"  {place(frame, frame.f_lineno)}" for frame in frames]
    return "\n".join(lines)
