"""What a peer is, and one that runs: a process of its own on a port of its own."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from msgspec import Struct

ROOT = Path(__file__).parents[2]
OURS = "jarvis-trio"
FOLDER = ROOT / ".venv-peers"
"""Where environments, and what was measured, are kept."""

READY_SECONDS = 120
"""The slowest of them imports for half a minute on a busy machine."""

GONE_SECONDS = 20


class NotHereError(Exception):
    """The peer cannot be run on this machine; the message says what is missing."""


class Setting(Struct, frozen=True):
    """What a peer is told: where to listen, where the mock upstream is, where it may write."""

    port: int
    sim_url: str
    folder: Path


class Command(Struct, frozen=True):
    """What starts a peer, and what it finds in its environment."""

    words: list[str]
    variables: Mapping[str, str] = {}

    def shown(self, setting: Setting) -> str:
        """Return the line as anybody would type it: without this machine's paths and ports."""
        variables = [
            f"{name}={value}" for name, value in self.variables.items() if name != "PYTHONPATH"
        ]
        line = " ".join([*variables, *map(shlex.quote, self.words)])
        places = {
            setting.sim_url: "http://127.0.0.1:9999",
            str(setting.port): "8000",
            f"{setting.folder}{os.sep}": "",
            sys.executable: "python",
            f"{ROOT}{os.sep}": "",
            "/usr/sbin/": "",
        }
        for place, said in places.items():
            line = line.replace(place, said)
        return line


class Peer(Struct, frozen=True):
    """A server to measure.

    ``prepare`` installs it, if need be, and returns its versions; ``command`` writes its
    configuration and returns what starts it. ``is_behind_sim`` is False for a model server.
    ``can_be_told_to_go`` is False where the process is not the peer's own program.
    ``ready`` is what each of its ``processes`` prints once it accepts: a port that they share
    answers as soon as the first of them does. Empty: it is up when it answers.
    """

    name: str
    what: str
    prepare: Callable[[Path], str]
    command: Callable[[Setting], Command]
    key: str | None = None
    is_behind_sim: bool = True
    can_be_told_to_go: bool = True
    ready: str = ""
    processes: int = 1


@contextmanager
def running(peer: Peer, setting: Setting) -> Iterator[tuple[int, Command]]:
    """Run it until the block ends; yields its process once it lists its models.

    Of several processes, each has said that it accepts.

    *Errors:* NotHereError when it does not come up, with the end of what it printed.
    """
    command = peer.command(setting)
    with started(command, setting.folder) as process:
        _wait_until_up(process, peer, setting)
        yield process.pid, command


@contextmanager
def started(command: Command, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command and see to it that it has gone when the block ends."""
    with _console(folder).open("wb") as output:
        process = subprocess.Popen(
            command.words,
            cwd=folder,
            env=_environment(command.variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        _end(process)


def _console(folder: Path) -> Path:
    return folder / "console.txt"


def not_up(folder: Path) -> NotHereError:
    """Return the error of a server that does not come up, with the end of what it printed."""
    return NotHereError(f"it did not come up: {printed(folder)[-1000:]}")


def printed(folder: Path) -> str:
    """Return what a server that was started in this folder has printed so far."""
    return _console(folder).read_text("utf-8", "replace")


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would set a peer up differently here than elsewhere: proxies, our settings."""
    unwanted = ("JARVIS", "OPENAI", "LITELLM", "PYTHON")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(unwanted) and not name.lower().endswith("_proxy")
    }
    return clean | dict(variables)


def _wait_until_up(process: subprocess.Popen[bytes], peer: Peer, setting: Setting) -> None:
    deadline = time.monotonic() + READY_SECONDS
    url = f"http://127.0.0.1:{setting.port}/v1/models"
    headers = {"authorization": f"Bearer {peer.key}"} if peer.key else {}
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            answer = httpx.get(url, headers=headers, timeout=5, trust_env=False)
            if answer.status_code == 200 and _all_are_ready(peer, setting.folder):
                return
        time.sleep(0.1)
    raise not_up(setting.folder)


def _all_are_ready(peer: Peer, folder: Path) -> bool:
    if not peer.ready:
        return True
    return printed(folder).count(peer.ready) >= peer.processes


def _end(process: subprocess.Popen[bytes]) -> None:
    """See to it that it has gone; how well it goes is what the storm looks at."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GONE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
