"""Logs: one event is one line, and no slow or broken target ever holds a caller up."""

import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from hypothesis import strategies as st

from jarvis_trio.errors import ConfigError
from jarvis_trio.events import Cause
from jarvis_trio.observe import logs
from jarvis_trio.observe.logs import (
    LineWriter,
    LineWriters,
    configure_logs,
    render_json,
    render_logfmt,
)

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


class Target(io.StringIO):
    """A log file that can stall, and whose text can still be read when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.stalled = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()
        self._news = threading.Condition()

    def has_written(self, times: int) -> bool:
        """Wait for so many writes."""
        with self._news:
            return self._news.wait_for(lambda: len(self.written) >= times, timeout=5)

    def write(self, text: str) -> int:
        if not self.let_go.is_set():
            self.stalled.set()
            assert self.let_go.wait(10)
        with self._news:
            self.written.append(text)
            self._news.notify_all()
        return len(text)


class Broken(io.StringIO):
    """A disk that is full."""

    def write(self, text: str) -> int:
        raise OSError("no space left on device")

    def close(self) -> None:
        super().close()
        raise OSError("no space left on device")


def told_lost(count: int) -> str:
    return f"lost {count}"


class Logging:
    """``configure_logs`` on a stderr of the test's own; closed with the test, not the process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stderr = Target()
        self._monkeypatch = monkeypatch
        self._close: list[Callable[[], None]] = []

    def configure(self, level: str, log_format: str, log_file: Path | None = None) -> Any:
        """Return a logger."""
        self._monkeypatch.setattr(sys, "stderr", self.stderr)
        self._monkeypatch.setattr("atexit.register", self._close.append)
        configure_logs(level, log_format, None if log_file is None else str(log_file))
        return structlog.get_logger("jarvis_trio")

    def close(self) -> str:
        """Wait until all is written and return what stderr got."""
        for close in self._close:
            close()
        return "".join(self.stderr.written)


@pytest.fixture
def logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logging]:
    opened = Logging(monkeypatch)
    yield opened
    opened.close()


def render(**fields: object) -> str:
    return render_logfmt(None, "info", {"timestamp": "T", "level": "info", "event": "e"} | fields)


def test_a_line_reads_as_the_documents_say(logging: Logging) -> None:
    log = logging.configure("info", "logfmt").bind(trace="A")
    log.info("stream_end", duration_ms=12.5, cleanup_done=True, ttft_ms=None)
    assert re.fullmatch(
        TIMESTAMP + r" info stream_end trace=A duration_ms=12\.5 cleanup_done=True\n",
        logging.close(),
    )


@pytest.mark.parametrize(
    ("nanoseconds", "stamp"),
    [
        (1_769_428_800_000_000_000, "2026-01-26T12:00:00.000000Z"),
        (1_769_428_800_000_001_999, "2026-01-26T12:00:00.000001Z"),
        (1_769_428_800_999_999_999, "2026-01-26T12:00:00.999999Z"),
        (1_769_428_801_000_000_000, "2026-01-26T12:00:01.000000Z"),
    ],
)
def test_every_timestamp_has_six_digits_behind_the_second(
    monkeypatch: pytest.MonkeyPatch, logging: Logging, nanoseconds: int, stamp: str
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: nanoseconds)
    logging.configure("info", "logfmt").info("e")
    assert logging.close() == f"{stamp} info e\n"


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ("plain", "k=plain"),
        ("two words", 'k="two words"'),
        ('say "hi"', r'k="say \"hi\""'),
        ("a=b", 'k="a=b"'),
        ("C:\\a b", r'k="C:\\a b"'),
        ("C:\\a", r"k=C:\a"),
        ("a\nb", r"k=a\nb"),
        ("a\r\nb c", r'k="a\x0d\nb c"'),
        ("a\x1b[31mred", r"k=a\x1b[31mred"),
        ("a\x00b\x7f\x85", r"k=a\x00b\x7f\x85"),
        ("a\u2028b\u2029", r"k=a\u2028b\u2029"),
        ("naïve Ω", 'k="naïve Ω"'),
        (True, "k=True"),
        (False, "k=False"),
        (12, "k=12"),
        (1.5, "k=1.5"),
        (Cause.COMPLETED, "k=completed"),
        (("a", "b"), "k=\"('a', 'b')\""),
        (None, None),
    ],
)
def test_a_field_is_rendered_as(value: object, rendered: str | None) -> None:
    assert render(k=value) == ("T info e" if rendered is None else f"T info e {rendered}")


@hypothesis.given(st.dictionaries(st.sampled_from("abc"), st.text(st.characters())))
def test_no_text_in_any_field_can_end_a_line_or_reach_a_terminal(fields: dict[str, str]) -> None:
    """Log injection: one event is one line, for whoever splits lines in whatever way."""
    line = render(**fields)
    assert len(line.splitlines()) == 1
    assert all(char.isprintable() or char.isspace() or ord(char) > 159 for char in line)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
    assert line.startswith("T info e")


def fail(text: str) -> None:
    secret = "sk-a-local-of-the-frame"
    raise ValueError(text, len(secret))


def test_an_error_brings_its_traceback_and_no_line_of_it_passes_for_an_event(
    logging: Logging,
) -> None:
    class TwoLines(Exception):  # noqa: N818 - not an error of ours
        def __str__(self) -> str:
            return "x\n2026-01-01T00:00:00.000000Z info stream_end cleanup_done=True"

    log = logging.configure("info", "logfmt")
    try:
        fail("x")
    except ValueError as error:
        error.__cause__ = TwoLines()
        log.exception("stream_crashed", trace="A")
    first, *rest = logging.close().splitlines()
    assert re.fullmatch(TIMESTAMP + " error stream_crashed trace=A", first)
    assert all(line.startswith("  ") for line in rest)
    assert any("ValueError: ('x', 23)" in line for line in rest)
    assert any("stream_end" in line for line in rest)


def test_a_traceback_holds_no_values_of_local_names(logging: Logging) -> None:
    """They may be keys or prompts; source lines are all that is shown."""
    log = logging.configure("info", "json")
    key = "sk-" + "x" * 5
    try:
        fail(key[:2])
    except ValueError:
        log.exception("stream_crashed")
    assert key not in logging.close()


def test_json_logs_are_one_object_per_line(logging: Logging) -> None:
    log = logging.configure("info", "json").bind(trace='a"b\nc\u2028')
    log.info("stream_end", cause=Cause.COMPLETED, cleanup_done=True, ttft_ms=None, odd=object)
    try:
        fail("x\ny")
    except ValueError:
        log.exception("stream_crashed")
    end, crashed = [json.loads(line) for line in logging.close().removesuffix("\n").split("\n")]
    assert re.fullmatch(TIMESTAMP, end.pop("timestamp"))
    assert end == {
        "trace": 'a"b\nc\u2028',
        "event": "stream_end",
        "level": "info",
        "cause": "completed",
        "cleanup_done": True,
        "ttft_ms": None,
        "odd": "<class 'object'>",
    }
    assert crashed["level"] == "error"
    assert crashed["exception"].startswith("Traceback (most recent call last):")
    assert "ValueError: " in crashed["exception"]


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_a_log_call_never_raises_for_what_it_is_told(
    tmp_path: Path, logging: Logging, log_format: str
) -> None:
    """Half a surrogate pair comes out of any path or variable that is not UTF-8."""
    path = tmp_path / "system.log"
    log = logging.configure("info", log_format, path)
    log.info("odd", name=os.fsdecode(b"caf\xe9"), number=2**70, infinite=float("inf"))
    logging.close()
    line = path.read_text("utf-8")
    assert r"caf\udce9" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_each_level_lets_through_what_is_as_grave(
    logging: Logging, level: str, heard: list[str]
) -> None:
    log = logging.configure(level, "logfmt")
    for method in ("debug", "info", "warning", "error"):
        getattr(log, method)("e")
    assert [line.split()[1] for line in logging.close().splitlines()] == heard


def test_lines_come_in_order_and_close_writes_them_all() -> None:
    target = Target()
    writer = LineWriter(target, told_lost)
    for number in range(5000):
        writer.msg(str(number))
    writer.close()
    assert "".join(target.written).split() == [str(number) for number in range(5000)]
    assert target.closed
    writer.close()


def test_a_stalled_target_blocks_nobody_and_what_is_lost_is_counted_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I9: the caller is the event loop; when this test hangs, msg() has waited."""
    monkeypatch.setattr(logs, "LINES_AHEAD", 10)
    target = Target()
    target.let_go.clear()
    writer = LineWriter(target, told_lost)
    writer.msg("in hand")
    assert target.stalled.wait(5)
    for number in range(13):
        writer.msg(str(number))
    assert writer.lost == 3
    assert target.written == []
    target.let_go.set()
    writer.close()
    lines = "".join(target.written).splitlines()
    assert [line for line in lines if not line.startswith("lost")] == [
        "in hand",
        *map(str, range(10)),
    ]
    assert [line for line in lines if line.startswith("lost")] == ["lost 3"]


def test_lines_that_wait_for_a_slow_target_are_written_together() -> None:
    target = Target()
    target.let_go.clear()
    writer = LineWriter(target, told_lost)
    writer.msg("in hand")
    assert target.stalled.wait(5)
    for number in range(100):
        writer.msg(str(number))
    target.let_go.set()
    assert target.has_written(2)
    assert target.written == ["in hand\n", "".join(f"{number}\n" for number in range(100))]
    writer.close()


def test_a_line_waits_a_moment_for_others_so_that_the_thread_is_seldom_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits, let_go = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        assert seconds <= 0.05
        waits.set()
        assert let_go.wait(5)

    monkeypatch.setattr("time.sleep", sleep)
    target = Target()
    writer = LineWriter(target, told_lost)
    writer.msg("one")
    assert waits.wait(5)
    writer.msg("two")
    let_go.set()
    assert target.has_written(1)
    assert target.written == ["one\ntwo\n"]
    writer.close()


def test_what_is_lost_a_second_time_is_told_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LINES_AHEAD", 1)
    target = Target()
    writer = LineWriter(target, told_lost)
    for written, more in ((2, 2), (4, 5)):
        target.stalled.clear()
        target.let_go.clear()
        writer.msg("in hand")
        assert target.stalled.wait(5)
        for _ in range(1 + more):
            writer.msg("x")
        target.let_go.set()
        assert target.has_written(written)
    writer.close()
    text = "".join(target.written).splitlines()
    assert [line for line in text if line.startswith("lost")] == ["lost 2", "lost 5"]
    assert writer.lost == 7


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_the_line_about_lost_lines_is_a_line_like_any_other(
    monkeypatch: pytest.MonkeyPatch, logging: Logging, log_format: str
) -> None:
    monkeypatch.setattr(logs, "LINES_AHEAD", 1)
    logging.stderr.let_go.clear()
    log = logging.configure("info", log_format)
    log.info("in_hand")
    assert logging.stderr.stalled.wait(5)
    for _ in range(4):
        log.info("e")
    logging.stderr.let_go.set()
    lines = logging.close().splitlines()
    assert len(lines) == 3
    if log_format == "json":
        told = json.loads(lines[2])
        assert re.fullmatch(TIMESTAMP, told.pop("timestamp"))
        assert told == {"event": "log_lines_lost", "level": "warning", "count": 3}
    else:
        assert re.fullmatch(TIMESTAMP + " warning log_lines_lost count=3", lines[2])


def test_closing_leaves_a_target_that_hangs_behind() -> None:
    target = Target()
    target.let_go.clear()
    writer = LineWriter(target, told_lost)
    writer.msg("never written in time")
    assert target.stalled.wait(5)
    writer.close(timeout_seconds=0.01)
    assert target.written == []
    target.let_go.set()
    writer._thread.join(5)
    assert "".join(target.written) == "never written in time\n"


def test_closing_gives_up_when_there_is_not_even_room_for_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "LINES_AHEAD", 1)
    target = Target()
    target.let_go.clear()
    writer = LineWriter(target, told_lost)
    writer.msg("in hand")
    assert target.stalled.wait(5)
    writer.msg("waiting")
    writer.close(timeout_seconds=0.01)
    target.let_go.set()
    writer.close()
    assert "".join(target.written) == "in hand\nwaiting\n"


def test_a_target_that_fails_or_stalls_takes_nothing_from_the_other() -> None:
    stalled, target = Target(), Target()
    stalled.let_go.clear()
    gone = io.StringIO()
    gone.close()
    writers = [LineWriter(each, told_lost) for each in (stalled, Broken(), gone, target)]
    both = LineWriters(writers)
    both.msg("one")
    both.msg("two")
    writers[-1].close()
    assert "".join(target.written) == "one\ntwo\n"
    assert target.closed
    stalled.let_go.set()
    for writer in writers:
        writer.close()


def test_threads_may_log_at_the_same_time() -> None:
    target = Target()
    writer = LineWriter(target, told_lost)

    def log(name: str) -> None:
        for number in range(500):
            writer.msg(f"{name} {number}")

    threads = [threading.Thread(target=log, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    lines = "".join(target.written).splitlines()
    assert len(lines) == 2000
    for name in "abcd":
        own = [line for line in lines if line.startswith(name)]
        assert own == [f"{name} {number}" for number in range(500)]


def test_the_log_file_gets_what_stderr_gets_and_its_folder_is_made(
    tmp_path: Path, logging: Logging
) -> None:
    path = tmp_path / "logs" / "deeper" / "system.log"
    logging.configure("info", "logfmt", path).info("first", text="naïve")
    text = logging.close()
    assert path.read_text("utf-8") == text
    assert not logging.stderr.closed
    logging.configure("info", "logfmt", path).info("second")
    logging.close()
    assert [line.split()[2] for line in path.read_text("utf-8").splitlines()] == ["first", "second"]


def test_stderr_is_never_closed_even_when_it_is_replaced_meanwhile(
    monkeypatch: pytest.MonkeyPatch, logging: Logging
) -> None:
    logging.configure("info", "logfmt").info("e")
    monkeypatch.setattr(sys, "stderr", Target())
    assert logging.close()
    assert not logging.stderr.closed


@pytest.mark.parametrize("where", ["a folder", "under a file"])
def test_a_log_file_that_cannot_be_written_is_a_config_error_that_names_it(
    tmp_path: Path, logging: Logging, where: str
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path if where == "a folder" else tmp_path / "file" / "system.log"
    threads_before = threading.active_count()
    with pytest.raises(ConfigError) as refused:
        logging.configure("info", "logfmt", path)
    assert refused.value.message.startswith(f"JARVIS_LOG_FILE={path} cannot be written: ")
    assert threading.active_count() == threads_before


@hypothesis.given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none()))
def test_any_event_is_one_line_of_json(fields: dict[str, Any]) -> None:
    line = render_json(None, "info", dict(fields))
    assert "\n" not in line
    assert json.loads(line) == fields
