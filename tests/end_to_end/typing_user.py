"""A ``jarvis-trio chat`` at a terminal, and somebody who types."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.chat.emulator import Emulator
from tests.end_to_end.processes import ROOT, stop

PATIENCE_SECONDS: Final = 15.0


def plain_environment() -> dict[str, str]:
    """Return ours without what a chat looks at."""
    unwanted = ("JARVIS_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def chat_command(*options: str) -> list[str]:
    """Return the command."""
    return [sys.executable, "-X", "dev", "-m", "jarvis_trio", "chat", *options]


class TypingUser:
    """Types, and looks at the screen."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.screen = Emulator()
        self._terminal = terminal
        self._rest = b""

    def type(self, text: str) -> None:
        """Send keys, all in one piece."""
        os.write(self._terminal, text.encode())

    def say(self, line: str) -> None:
        """Type a line, and Enter."""
        self.type(f"{line}\r")

    def wait_for(self, wanted: str, times: int = 1) -> None:
        """Wait until it stands on the screen, so many times."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.screen.text.count(wanted) < times:
            assert time.monotonic() < deadline, f"no {wanted!r} in\n{self.screen.text}"
            self.look()

    def look(self) -> bool:
        """Take in what was drawn, if anything; False when the terminal was closed."""
        if not select.select([self._terminal], [], [], 0.05)[0]:
            return True
        try:
            data = self._rest + os.read(self._terminal, 65536)
        except OSError:  # what a terminal says when its last program has gone
            return False
        # What is whole: not amid a sequence, nor amid a character.
        end = len(data)
        escape = data.rfind(b"\x1b")
        if escape >= 0 and not any(chr(each).isalpha() for each in data[escape:]):
            end = escape
        while end and data[end - 1] >= 0x80 and not _is_whole(data[:end]):
            end -= 1
        self._rest = data[end:]
        self.screen.feed(data[:end].decode())
        return True

    def close(self) -> None:
        """Close the terminal's window."""
        os.close(self._terminal)
        self._terminal = -1

    def leaves(self) -> int:
        """Wait for the end, and return the exit status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._terminal >= 0 and self.look() and time.monotonic() < deadline:
            pass
        return self.process.wait(PATIENCE_SECONDS)

    def is_cooked(self) -> bool:
        """The terminal edits lines and echoes by itself, as a shell finds it."""
        modes = termios.tcgetattr(self._terminal)
        wanted = termios.ECHO | termios.ICANON | termios.ISIG
        return modes[3] & wanted == wanted and bool(modes[0] & termios.ICRNL)


def _is_whole(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@contextlib.contextmanager
def typing_user(url: str, *options: str, complaints: Path) -> Iterator[TypingUser]:
    """Start a chat on a terminal of its own, and wait until it can be typed to.

    What it writes to stderr goes to ``complaints``, and must be nothing.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with complaints.open("wb") as stderr:
        process = subprocess.Popen(
            ["setsid", "--ctty", *chat_command("--url", url, *options)],
            stdin=its,
            stdout=its,
            stderr=stderr,
            env=plain_environment(),
        )
    os.close(its)
    user = TypingUser(process, ours)
    try:
        user.wait_for("/help")
        yield user
    finally:
        stop(process)
        if user._terminal >= 0:
            user.close()
    complained = complaints.read_text("utf-8")
    assert not complained, complained
