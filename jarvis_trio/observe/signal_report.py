"""SIGUSR1 asks what this process is doing.

The loop prints the report when it is free. Python's own handler prints the stack of every thread
at once, also while the loop is stuck: registered after trio's and taken away before it, so that it
calls trio's and never the default, which would end the process.
"""

import contextlib
import faulthandler
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator

import trio

STDERR = 2
"""By number: what stands in for ``sys.stderr`` may have none."""


async def report_on_signal(
    make_report: Callable[[], str], to_stderr: Callable[[str], None]
) -> None:
    """Report on every SIGUSR1, until cancelled. ``to_stderr`` must not wait.

    Outside of the main thread, which alone may handle signals, and in a process that was started
    without a stderr, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or sys.__stderr__ is None:
        return
    with trio.open_signal_receiver(signal.SIGUSR1) as signals, _stacks_on_signal():
        async for _ in signals:
            to_stderr(make_report())


@contextlib.contextmanager
def _stacks_on_signal() -> Iterator[None]:
    with _stderr_that_does_not_wait() as descriptor:
        faulthandler.register(signal.SIGUSR1, file=descriptor, all_threads=True, chain=True)
        try:
            yield
        finally:
            faulthandler.unregister(signal.SIGUSR1)


@contextlib.contextmanager
def _stderr_that_does_not_wait() -> Iterator[int]:
    """Open stderr for a handler that writes on the loop's thread.

    A pipe or a terminal that nobody reads would hold it for ever: we open our own end of it, which
    drops what finds no room. Files do not wait; a socket can only be used as it is.
    """
    mode = os.fstat(STDERR).st_mode
    descriptor = STDERR
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with contextlib.suppress(OSError):
            descriptor = os.open("/dev/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        yield descriptor
    finally:
        if descriptor != STDERR:
            os.close(descriptor)
