"""Servers in processes of their own, as users run them."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
APP = "jarvis_trio.asgi:app"
START_SECONDS = 60
STOP_SECONDS = 30
WAIT_SECONDS = 60
"""For another process to come to a state: only a failure takes so long, also where all is slow."""
COMPLAINTS = re.compile(r"Warning|Traceback|never awaited|Unraisable|Error in ASGI")
LOG_LINE = re.compile(r"^\S+Z (?:debug|info|warning|error) (\w+)(.*)$")
KEY = {"Authorization": "Bearer devkey"}
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""No authorities: loading them for each client takes longer than the gap between two prompts."""


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """Give a port where nobody listens until the test does, and that nobody else is given."""
    with socket.socket() as holder:
        # Servers set the one or the other, and may have a port that is held by who set both.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class LogLine(dict[str, str]):
    """One event of the server's log: its fields, and its name under ``event``."""


class Server:
    """A jarvis_trio under the hypercorn CLI."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
        self.process = process
        self.url = url
        self.log_path = log_path

    def log(self) -> list[LogLine]:
        """Return what has been logged so far."""
        lines = []
        for line in self.log_path.read_text("utf-8").splitlines():
            if match := LOG_LINE.match(line):
                pairs = dict(re.findall(r'(\w+)=("[^"]*"|\S*)', match[2]))
                lines.append(LogLine(pairs, event=match[1]))
        return lines

    def children(self) -> list[Path]:
        """Return /proc directories of the workers."""
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
        return [Path(f"/proc/{child}") for child in text.split()]

    def descriptors(self) -> int:
        """Count the open descriptors of the workers; see :func:`descriptors_of`."""
        return sum(map(descriptors_of, self.children()))

    def events(self, trace: str) -> list[str]:
        """Return the names of the events of one request."""
        return [line["event"] for line in self.log() if line.get("trace") == trace]

    def wait_for_log(self, event: str, count: int = 1, **fields: str) -> list[LogLine]:
        """Wait until the log, which a thread writes, tells ``count`` such events."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = [
                line
                for line in self.log()
                if line["event"] == event and fields.items() <= line.items()
            ]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"no {event} {fields} in\n{self.log_path.read_text('utf-8')}")
            time.sleep(0.01)

    def wait_until_idle(self) -> None:
        """Wait until every stream that started has ended; then the two counts are equal."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            names = [line["event"] for line in self.log()]
            started, ended = names.count("stream_start"), names.count("stream_end")
            if started == ended:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{started} streams started, {ended} ended")
            time.sleep(0.01)


def descriptors_of(process: Path) -> int:
    """Count what a process, by its /proc directory, has open, but for the database.

    Of that there is as much as was ever needed at once: a pool of connections to a file, which
    SQLite closes only together.
    """
    return sum(not _is_of_database(descriptor) for descriptor in (process / "fd").iterdir())


def _is_of_database(descriptor: Path) -> bool:
    with contextlib.suppress(OSError):  # it has been closed meanwhile
        return "jarvis.db" in descriptor.readlink().name
    return False


@contextlib.contextmanager
def running_server(
    tmp_path: Path,
    upstream: str,
    *,
    app: str = APP,
    options: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
    **settings: str,
) -> Iterator[Server]:
    """Run the documented command over ``upstream``; at the end it must go, without complaint."""
    environment = {name: value for name, value in os.environ.items() if "JARVIS" not in name}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "JARVIS_UPSTREAM": upstream,
        "JARVIS_LOG_LEVEL": "debug",
        "JARVIS_GRACEFUL_TIMEOUT_S": "1",
        **{f"JARVIS_{name.upper()}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-X", "dev", "-m", "hypercorn", "-c", str(ROOT / "hypercorn.toml")]
    command += ["--graceful-timeout", "4", *options, app]
    with reserved_port() as port:
        environment.setdefault("JARVIS_LOG_FILE", str(tmp_path / "logs" / f"system-{port}.log"))
        console = tmp_path / f"console-{port}.txt"
        with console.open("wb") as output:
            process = subprocess.Popen(
                [*command, "-b", f"127.0.0.1:{port}"],
                cwd=tmp_path,
                env=environment,
                stdout=output,
                stderr=output,
            )
        scheme = "http" if tls is None else "https"
        server = Server(
            process, f"{scheme}://127.0.0.1:{port}", Path(environment["JARVIS_LOG_FILE"])
        )
        try:
            wait_until_up(process, f"{server.url}/healthz", console, tls)
            yield server
        finally:
            exit_code = stop(process)
    printed = console.read_text("utf-8")
    assert not COMPLAINTS.search(printed), printed
    assert exit_code == 0, printed


def fetch(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask once, without TLS."""
    return httpx.get(url, headers=headers, timeout=30, trust_env=False, verify=NOBODY)


class Sim:
    """A ``jarvis-trio sim``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        return fetch(f"{self.url}/sim/{path}").json()

    async def wait_for(self, marker: str, kind: str) -> None:
        """Wait until the upstream has seen ``kind`` of the request that held ``marker``."""
        async with httpx.AsyncClient(timeout=30, trust_env=False, verify=NOBODY) as client:
            response = await client.get(f"{self.url}/sim/wait?marker={marker}&kind={kind}")
            response.raise_for_status()

    def reset(self) -> None:
        httpx.post(f"{self.url}/sim/reset", timeout=30, trust_env=False, verify=NOBODY)

    def script(self, marker: str, model: str) -> None:
        """Answer the prompts of that marker as that model does."""
        line = {"marker": marker, "model": model}
        url = f"{self.url}/sim/script"
        answer = httpx.post(url, json=line, timeout=30, trust_env=False, verify=NOBODY)
        answer.raise_for_status()

    def upstream(self, kind: str) -> str:
        """Return what JARVIS_UPSTREAM has to say: ``ollama`` or ``openai``."""
        return f"ollama:{self.url}" if kind == "ollama" else f"openai:{self.url}/v1"

    def wait_until_all_closed(self) -> dict[str, Any]:
        """Wait until no connection is open any more; return the statistics."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (stats := self.get("stats"))["open"]:
            assert time.monotonic() < deadline, stats
            time.sleep(0.01)
        result: dict[str, Any] = stats
        return result


@contextlib.contextmanager
def running_sim(*options: str) -> Iterator[Sim]:
    """Run the mock upstream on a free port."""
    command = [sys.executable, "-X", "dev", "-m", "jarvis_trio", "sim", "--port", "0", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        ready = process.stdout.readline()
        assert ready.startswith("sim ready on "), (ready, process.stderr.read())
        yield Sim(ready.split()[-1])
    finally:
        exit_code = stop(process)
        complaints = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert not complaints, complaints
    assert exit_code == 0


def wait_until(is_so: Callable[[], bool], tell: Callable[[], object] = str) -> None:
    """Wait, bounded, until another process has come to a state; ``tell`` says why it has not."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.01)


def settled(look: Callable[[], T]) -> T:
    """Return what is seen once it has stopped changing."""
    seen = [look()]

    def stands_still() -> bool:
        seen.append(look())
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_until(stands_still)
    return seen[-1]


def settled_descriptors(server: Server) -> int:
    """Count the workers' descriptors once the count has stopped falling."""
    return settled(server.descriptors)


def wait_until_up(
    process: subprocess.Popen[bytes], url: str, console: Path, tls: ssl.SSLContext | None
) -> None:
    """Wait until ``url`` answers."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=5, trust_env=False, verify=tls or NOBODY)
            return
        time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{console.read_text('utf-8')}")


def stop(process: subprocess.Popen[Any]) -> int:
    """Ask a process of ours to end, and see to it that it does."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
