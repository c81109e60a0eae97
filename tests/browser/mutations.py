"""``python -m tests.browser.mutations``: take each mechanism of the page away, see its tests fail.

``mutations.json`` says what to edit in ``ui/src``, and which tests must fail of it; before, they
must pass. All is done in a copy of the repository, so that nothing here is touched. Numbers, from
1, choose some of the mutations. It takes minutes, and is no part of ``make test``.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from msgspec import Struct, convert

from tests.end_to_end.processes import ROOT

LIST = Path(__file__).with_name("mutations.json")
COPIED = ["jarvis_trio", "tests", "ui", "pyproject.toml", "hypercorn.toml"]
LEFT_OUT = shutil.ignore_patterns("node_modules", "__pycache__", "page")
TESTS_FAILED = 1


class Mutation(Struct, forbid_unknown_fields=True):
    """Edits are a file of ``ui/src``, what stands in it exactly once, and what does then."""

    what: str
    edits: list[tuple[str, str, str]]
    tests: list[str]


def copy_repository(to: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=LEFT_OUT)
        else:
            shutil.copy(ROOT / name, to / name)
    (to / "ui" / "node_modules").symlink_to(ROOT / "ui" / "node_modules")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def build(copy: Path) -> None:
    built = run("node_modules/.bin/vite", "build", cwd=copy / "ui")
    if built.returncode != 0:
        raise SystemExit(built.stdout + built.stderr)


def status(copy: Path, *tests: str) -> int:
    """Run tests, to the first that fails; return pytest's status."""
    python = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-x"]
    return run(*python, *(f"tests/browser/{test}" for test in tests), cwd=copy).returncode


def edit(copy: Path, edits: list[tuple[str, str, str]]) -> dict[Path, str]:
    """Make the edits; return what the files held before."""
    before: dict[Path, str] = {}
    for name, old, new in edits:
        path = copy / "ui" / "src" / name
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{name} does not hold this exactly once: {old}")
        before.setdefault(path, text)
        path.write_text(text.replace(old, new))
    return before


def main(chosen: list[str]) -> int:
    mutations = list(enumerate(convert(json.loads(LIST.read_text()), list[Mutation]), 1))
    if chosen:
        mutations = [(number, each) for number, each in mutations if str(number) in chosen]
    tests = sorted({test for _, mutation in mutations for test in mutation.tests})
    missed = 0
    with tempfile.TemporaryDirectory() as path:
        copy = Path(path)
        copy_repository(copy)
        build(copy)
        if status(copy, *tests) != 0:
            raise SystemExit("these tests fail already: they would see nothing")
        for number, mutation in mutations:
            before = edit(copy, mutation.edits)
            build(copy)
            alive = [test for test in mutation.tests if status(copy, test) != TESTS_FAILED]
            for file, text in before.items():
                file.write_text(text)
            missed += bool(alive)
            seen = f"NOT SEEN by {', '.join(alive)}" if alive else "seen"
            print(f"{number}. {mutation.what}: {seen}", flush=True)  # noqa: T201 - a command
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
