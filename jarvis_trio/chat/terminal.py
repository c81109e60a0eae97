"""The terminal itself: its modes, its size, its bytes."""

import contextlib
import errno
import os
import signal
import termios
from collections.abc import Generator
from typing import Any, Final

import trio

READ_BYTES: Final = 64 * 1024
PASTE_BEGINS_WITH: Final = "\x1b[?2004h"
PASTE_ENDS_WITH: Final = "\x1b[?2004l\x1b[?25h"

_INPUT_FLAGS: Final = termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON
_LOCAL_FLAGS: Final = termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN


class Terminal:
    """Reads keys from one descriptor and draws on another."""

    def __init__(self, keys: int, screen: int) -> None:
        self._keys = keys
        self._screen = screen

    @contextlib.contextmanager
    def taken_over(self) -> Generator[None, None, None]:
        """Give every key to us alone while the block runs: Ctrl-C too, in its turn."""
        found = termios.tcgetattr(self._keys)
        self.take()
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):  # it was closed
                termios.tcsetattr(self._keys, termios.TCSANOW, found)

    def take(self) -> None:
        """Set our modes, again where somebody else has set theirs."""
        modes: list[Any] = termios.tcgetattr(self._keys)
        modes[0] &= ~_INPUT_FLAGS
        modes[3] &= ~_LOCAL_FLAGS
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._keys, termios.TCSANOW, modes)

    def suspend(self) -> None:
        """Do what Ctrl-Z does to other programs; SIGCONT is told when it is over."""
        modes = termios.tcgetattr(self._keys)
        modes[0] |= termios.ICRNL
        modes[3] |= _LOCAL_FLAGS
        termios.tcsetattr(self._keys, termios.TCSANOW, modes)
        os.killpg(os.getpgrp(), signal.SIGTSTP)

    def size(self) -> tuple[int, int]:
        """Return how many columns and rows there are."""
        try:
            size = os.get_terminal_size(self._screen)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    async def read(self) -> bytes:
        """Wait for keys; b"" when the terminal was closed."""
        await trio.lowlevel.wait_readable(self._keys)
        try:
            return os.read(self._keys, READ_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""

    async def write(self, text: str) -> None:
        """Write it, in a thread: a terminal takes it at its own pace.

        When it is cancelled, the thread is left behind. Errors: OSError when it was closed.
        """
        if text:
            data = text.encode("utf-8", "replace")
            await trio.to_thread.run_sync(self._write_all, data, abandon_on_cancel=True)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._screen, left) :]
