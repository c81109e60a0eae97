"""``jarvis-trio serve`` in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.processes import COMPLAINTS, ROOT, Server, stop


def command(*options: str) -> list[str]:
    return [sys.executable, "-X", "dev", "-m", "jarvis_trio", "serve", *options]


def environment(**settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "JARVIS" not in name}
    given = {f"JARVIS_{name.upper()}": value for name, value in settings.items()}
    return {**clean, "PYTHONPATH": str(ROOT), "JARVIS_UPSTREAM": "simulated:", **given}


@contextmanager
def serving(tmp_path: Path, *options: str, **settings: str) -> Iterator[Server]:
    """Start it, wait for its line, and end it; it must go with status 0 and without complaint."""
    log = tmp_path / f"system-{len(list(tmp_path.iterdir()))}.log"
    console = log.with_suffix(".txt")
    with console.open("wb") as errors:
        process = subprocess.Popen(
            command(*options),
            cwd=tmp_path,
            env=environment(log_file=str(log), log_level="debug", **settings),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        try:
            ready = process.stdout.readline().decode()
            assert ready.startswith("jarvis_trio ready on "), (ready, console.read_text("utf-8"))
            yield Server(process, ready.split()[3], log)
        finally:
            code = stop(process)
            process.stdout.close()
    printed = console.read_text("utf-8")
    assert not COMPLAINTS.search(printed), printed
    assert code == 0, printed


def refusal(*options: str, cwd: Path | None = None) -> str:
    """Return the sentence it ends with."""
    done = subprocess.run(
        command(*options),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr
