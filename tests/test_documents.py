"""What the documents promise is what the code has."""

import json
import re
from pathlib import Path

import msgspec

from jarvis_trio.config import Settings
from jarvis_trio.events import Cause

ROOT = Path(__file__).parents[1]
LOCKED = re.compile(r"[\w.\[\]-]+==[\w.+]+( ; [^/@]+)? \\| {4}--hash=sha256:[0-9a-f]{64}( \\)?")
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_has_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(JARVIS_\w+)` \| (\S+) \|", README, re.MULTILINE))
    fields = msgspec.structs.fields(Settings)
    assert set(rows) == {f"JARVIS_{field.name.upper()}" for field in fields}
    for field in fields:
        told = rows[f"JARVIS_{field.name.upper()}"].strip("`")
        expected = field.default
        assert told == ("\N{EN DASH}" if expected in (None, ()) else str(expected)), field.name


def test_the_architecture_names_every_cause() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    missing = [cause for cause in Cause if f"`{cause}`" not in text]
    assert not missing


def test_the_readme_has_every_route() -> None:
    source = (ROOT / "jarvis_trio" / "web" / "app.py").read_text("utf-8")
    routes = re.findall(r'\("(/[^"]*)", "(GET|POST|PATCH|DELETE)"', source)
    assert len(routes) > 5
    for path, method in routes:
        if path != "/":
            shown = re.sub("<[^>]*>", "{id}", path)
            assert f"`{method} {shown}`" in README, path


def test_no_lock_file_names_where_packages_come_from() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        for line in path.read_text("utf-8").splitlines():
            assert LOCKED.fullmatch(line), (path, line)
    lock = json.loads((ROOT / "ui" / "package-lock.json").read_text("utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not package.get("link"), name
    npmrc = (ROOT / "ui" / ".npmrc").read_text("utf-8")
    assert "omit-lockfile-registry-resolved=true" in npmrc
    assert "//" not in npmrc
