"""What is handed on: the wheel and the sdist carry the page, and need no Node to show it."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.end_to_end.processes import KEY, NOBODY, ROOT, fetch, stop

PAGE = "jarvis_trio/web/page"
BUILDS_WITHIN_SECONDS = 60


class Built(NamedTuple):
    """Where they are."""

    wheel: Path
    sdist: Path


def bare_environment(path: Path) -> dict[str, str]:
    """Return ours without what leads to this tree, and with nothing on PATH but ``path``."""
    ours = {name: value for name, value in os.environ.items() if "JARVIS" not in name}
    ours.pop("PYTHONPATH", None)
    return {**ours, "PATH": str(path)}


def run(*command: str | Path, cwd: Path, path: Path) -> str:
    """Run a command to its end, which must be a good one; return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=bare_environment(path),
        capture_output=True,
        text=True,
        timeout=BUILDS_WITHIN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(tree: Path, into: Path, *targets: str) -> None:
    options = [word for target in targets for word in ("-t", target)]
    run(sys.executable, "-m", "hatchling", "build", "-d", into, *options, cwd=tree, path=into)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both, of this tree, whose page is not built just for that."""
    is_built = [sys.executable, "hatch_build.py", "is-built"]
    if subprocess.run(is_built, cwd=ROOT, check=False).returncode:
        pytest.skip("THE WHEEL IS NOT CHECKED: the page of this ui/ is not built; make page")
    into = tmp_path_factory.mktemp("dist")
    build(ROOT, into, "wheel", "sdist")
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="module")
def clean(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel in it; what that needs is lent by this one."""
    home = tmp_path_factory.mktemp("clean")
    python = home / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home, path=home)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", built.wheel, cwd=home, path=home)
    (site,) = home.glob("lib/python3*/site-packages")
    # Behind its own: the packages are there, an editable jarvis_trio among them is not looked for.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return home


@pytest.fixture
def url(clean: Path, tmp_path: Path) -> Iterator[str]:
    """The wheel's own server, with no program in reach but itself."""
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [clean / "bin" / "jarvis-trio", "serve", "--port", "0"],
            cwd=tmp_path,
            env=bare_environment(clean / "bin") | {"JARVIS_UPSTREAM": "simulated:"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        assert ready.startswith("jarvis_trio ready on "), log.read_text("utf-8")
        yield ready.split()[3]
    finally:
        code = stop(process)
        process.stdout.close()
    assert code == 0


def test_an_installed_wheel_shows_its_page_and_chats(url: str, clean: Path) -> None:
    where = "import jarvis_trio; print(jarvis_trio.__file__)"
    assert run(clean / "bin" / "python", "-c", where, cwd=clean, path=clean).startswith(str(clean))
    document = fetch(url)
    assert document.headers["content-type"] == "text/html; charset=utf-8"
    linked = re.findall(r'(?:src|href)="(/[^"]*)"', document.text)
    assert any(path.endswith(".js") for path in linked)
    for path in linked:
        answer = fetch(f"{url}{path}")
        assert answer.status_code == 200, path
        assert answer.headers["content-encoding"] == "gzip" or len(answer.content) < 1000
    said = httpx.post(
        f"{url}/v1/chat/completions",
        headers=KEY,
        json={"prompt": "What is 2+2?"},
        timeout=30,
        trust_env=False,
        verify=NOBODY,
    )
    assert "4" in said.json()["choices"][0]["message"]["content"]


def test_the_wheel_has_the_page_with_the_licences_of_what_is_in_it(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        inside = {name: wheel.read(name) for name in wheel.namelist()}
    on_disk = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in (ROOT / PAGE).rglob("*")
        if path.is_file()
    }
    assert {name: inside.get(name) for name in on_disk} == on_disk
    licences = inside[f"{PAGE}/licenses.txt"]
    assert b"Permission is hereby granted" in licences
    assert not [name for name in inside if name.startswith(("ui/", "tests/"))]
    told = [name for name, content in inside.items() if str(ROOT).encode() in content]
    assert not told, f"{told} name a directory of this machine"


def test_a_wheel_from_the_sdist_needs_no_node_and_is_the_same(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as sdist:
        # Python 3.14 would say so by itself, the first ones of 3.11 cannot.
        sdist.extraction_filter = getattr(tarfile, "data_filter", None)
        sdist.extractall(tmp_path)  # noqa: S202 - we have just packed it
    (tree,) = tmp_path.iterdir()
    assert (tree / "ui" / "package-lock.json").is_file()
    assert not (tree / "ui" / "node_modules").exists()
    build(tree, tmp_path, "wheel")
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.read_bytes() == built.wheel.read_bytes()
