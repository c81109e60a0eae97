"""The benchmark, tiny: that what it writes is right, whatever the numbers are."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from tests.benchmarks.bench.arithmetic import kept_up
from tests.benchmarks.bench.figures import Summary
from tests.benchmarks.bench.record import Round
from tests.benchmarks.bench.rounds import TINY_STREAMS
from tests.benchmarks.peer import OURS, ROOT

BENCH_ENDS_WITHIN_SECONDS = 500

WHOLE = [(10, None)] * TINY_STREAMS

pytestmark = pytest.mark.timeout(2 * BENCH_ENDS_WITHIN_SECONDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a tiny run has left everything."""
    into = tmp_path_factory.mktemp("bench")
    _bench("--tiny", "--into", str(into))
    return into


def _bench(*options: str) -> None:
    words = [sys.executable, "-X", "dev", "-m", "tests.benchmarks.bench", *options]
    done = subprocess.run(
        words,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BENCH_ENDS_WITHIN_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_every_answer_of_a_tiny_run_is_whole_and_in_its_file(folder: Path) -> None:
    kept = msgspec.json.decode((folder / "bench" / f"{OURS}.1.json").read_bytes(), type=Round)
    assert kept.missing is None
    assert kept.skipped == []
    (load,) = kept.loads
    assert [(stream.tokens, stream.fault) for stream in load.streams] == WHOLE
    assert load.open_amid == TINY_STREAMS
    assert load.cpu_ns > 0
    assert load.memory_amid.rss_bytes > load.memory_amid.pss_bytes > 0
    for stream in load.streams:
        assert stream.sent_ns < stream.arrived_ns < stream.upstream_first_ns < stream.first_text_ns
    departures = [*kept.departures_idle, *kept.departures_busy]
    assert len(departures) == 6
    assert all(gone.left_ns < gone.closed_ns for gone in departures)
    asked = [
        each.sent_ns for pair in zip(kept.fresh, kept.supersedes, strict=True) for each in pair
    ]
    assert len(asked) == 6
    assert asked == sorted(asked)
    assert kept.debug_lines > kept.debug_frames > 0
    assert min(*kept.debug_call_ns, *kept.absent_subscriber_ns) > 0
    assert len(kept.cold_starts_ms) == len(kept.imports_ms) == 1


def test_two_processes_have_both_done_something_and_their_page_tells_how_they_started(
    folder: Path,
) -> None:
    file = folder / "bench" / "jarvis-trio-x2.1.json"
    kept = msgspec.json.decode(file.read_bytes(), type=Round)
    assert kept.skipped == []
    (load,) = kept.loads
    assert [(stream.tokens, stream.fault) for stream in load.streams] == WHOLE
    first, second, shell = load.processes_cpu_ns
    assert first >= second > shell >= 0
    assert load.cpu_ns == first + second + shell
    assert kept.command.count("--reuse-port") == 2
    assert kept.command in (folder / "performance.md").read_text("utf-8")


def test_the_floor_makes_the_same_tokens(folder: Path) -> None:
    kept = msgspec.json.decode((folder / "bench" / "floor-4.1.json").read_bytes(), type=Round)
    assert kept.skipped == []
    (load,) = kept.loads
    assert [(stream.tokens, stream.fault) for stream in load.streams] == WHOLE
    assert any(count >= 4 for _, count in load.streams[0].reads)


def test_the_page_the_picture_and_the_numbers_are_written_from_the_files(folder: Path) -> None:
    page = (folder / "performance.md").read_text("utf-8")
    summary = msgspec.json.decode((folder / "performance.json").read_bytes(), type=Summary)
    ours = summary.server(OURS)
    assert ours is not None
    measured = msgspec.json.decode((folder / "bench" / f"{OURS}.1.json").read_bytes(), type=Round)
    assert ours.loads[0].kept_up is kept_up(measured.loads[0])
    assert ours.loads[0].cpu_us is not None
    assert ours.loads[0].cpu_us.median > 0
    assert ours.files == [f"{OURS}.1.json"]
    assert f"| {OURS} | {TINY_STREAMS} of {TINY_STREAMS}, " in page
    picture = ET.parse(folder / "performance.svg")  # noqa: S314 - our own
    assert OURS in [element.text for element in picture.iter()]
    written = {path: path.read_bytes() for path in folder.glob("performance.*")}
    assert len(written) == 3
    _bench("--page", "--into", str(folder))
    assert {path: path.read_bytes() for path in written} == written
