"""Structured logs: fields, not sentences; never prompt text, never a key.

``logfmt`` lines read ``2026-01-26T12:00:00.123456Z info stream_end trace=… cleanup_done=True``,
so that ``grep stream_end`` and ``grep cleanup_done=True`` do what they say. Lines are written by
a thread: a terminal or a disk that stalls never holds the event loop.
"""

import atexit
import io
import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TextIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from jarvis_trio.errors import ConfigError

LINES_AHEAD = 10_000
"""Lines that may wait for a slow terminal or disk; past it they are dropped and counted."""

GATHER_SECONDS = 0.05
"""How long a line waits for others: to wake a thread costs the event loop more than to make a line,
and this bounds how often that is."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
"""What a terminal obeys or a reader takes for the end of a line, in any field that others fill."""


class LineWriter:
    """Writes lines to ``target`` from a thread of its own, in order.

    ``lost`` counts the lines that found no room; ``render_lost`` makes the line that says so.
    *Resources:* the caller must ``close()`` it, which waits until what is there is written and
    closes the target unless it is stderr.
    """

    def __init__(self, target: TextIO, render_lost: Callable[[int], str]) -> None:
        self.lost = 0
        self._render_lost = render_lost
        self._target = target
        self._owns_target = target is not sys.stderr
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="log writer", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """Hand one line over; never waits."""
        if self._lines.qsize() < LINES_AHEAD:
            self._lines.put(line)
        else:
            self.lost += 1

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Write what is there and end the thread; a target that hangs is left behind."""
        self._lines.put(None)
        self._thread.join(timeout_seconds)

    def _write(self) -> None:
        told = 0  # only msg() changes ``lost``: it may run at the same time
        is_closed = False
        while not is_closed:
            lines, is_closed = self._take()
            lost = self.lost
            if lost > told:
                lines.append(self._render_lost(lost - told) + "\n")
                told = lost
            with suppress(OSError, ValueError):  # a full disk must not end the logging
                self._target.write("".join(lines))
                self._target.flush()
        if self._owns_target:
            with suppress(OSError, ValueError):  # what a full disk could not take
                self._target.close()

    def _take(self) -> tuple[list[str], bool]:
        """Wait for lines; return all there are, and whether no more will come."""
        lines: list[str] = []
        line = self._lines.get()
        time.sleep(GATHER_SECONDS)
        while line is not None:
            lines.append(line + "\n")
            if self._lines.empty():  # nobody else takes any
                return lines, False
            line = self._lines.get()
        return lines, True


class LineWriters:
    """Hands each line to every writer: one that stalls holds up no other."""

    def __init__(self, writers: list[LineWriter]) -> None:
        self._writers = writers

    def msg(self, line: str) -> None:
        """Hand one line over; never waits."""
        for writer in self._writers:
            writer.msg(line)

    log = debug = info = warning = warn = error = critical = exception = msg


def configure_logs(level: str, log_format: str, log_file: str | None) -> Callable[[str], None]:
    """Set up logging for this process: to stderr, and to ``log_file`` if there is one.

    Returns what prints to stderr in the same way: it never waits, and comes between two lines.

    Errors: ConfigError when the file cannot be opened.
    """
    targets: list[TextIO] = [sys.stderr or io.StringIO()]  # None where it was closed: nobody reads
    if log_file is not None:
        targets.append(_open(Path(log_file)))
    render = render_json if log_format == "json" else render_logfmt
    writers = [LineWriter(target, partial(_render_lost, render)) for target in targets]
    logger = LineWriters(writers)
    for writer in writers:
        atexit.register(writer.close)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _stamp_time,
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=False,
    )
    return writers[0].msg


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"JARVIS_LOG_FILE={path} cannot be written: {error}") from error


def _stamp_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    event["timestamp"] = f"{_second(seconds)}.{nanoseconds // 1000:06}Z"
    return event


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def render_logfmt(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Render one event as ``timestamp level name key=value …``; a traceback follows as lines."""
    words = [event.pop("timestamp"), event.pop("level"), event.pop("event")]
    traceback = event.pop("exception", None)
    words += [f"{key}={_quoted(str(value))}" for key, value in event.items() if value is not None]
    line = " ".join(words)
    if not line.isprintable():
        line = line.translate(_CONTROLS)
    # Indented, so that no line of an error's text can pass for an event.
    return line if traceback is None else f"{line}\n{traceback}".replace("\n", "\n  ")


def _quoted(value: str) -> str:
    """Return a value as logfmt has it: one that could be taken for several fields in quotes."""
    if " " in value or "=" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
        value = f'"{value}"'
    return value.replace("\n", "\\n")


def render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Render one event as one JSON object."""
    try:
        return msgspec.json.encode(event, enc_hook=str).decode()
    except UnicodeEncodeError:  # half a surrogate pair: a log call must not raise
        return json.dumps(event, default=str)


def _render_lost(render: Callable[[WrappedLogger, str, EventDict], str], lost: int) -> str:
    event: EventDict = {"event": "log_lines_lost", "level": "warning", "count": lost}
    return render(None, "warning", dict(_stamp_time(None, "warning", event)))
