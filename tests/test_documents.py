"""What the documents promise is what the code has."""

import re
from pathlib import Path

import msgspec

from jarvis_trio.config import Settings
from jarvis_trio.events import Cause

ROOT = Path(__file__).parents[1]
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
