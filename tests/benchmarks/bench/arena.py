"""Where one thing is measured: a fresh model server, a fresh server before it, and the client."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

from tests.benchmarks.bench.client import Client
from tests.benchmarks.bench.tokens import Asked
from tests.benchmarks.peer import ROOT, NotHereError, Peer, Setting, running
from tests.benchmarks.servers import OURS_TWICE, OURS_WITH_DEBUG, PEERS, hypercorn_floor
from tests.end_to_end.processes import reserved_port, stop

WARM_UP_PROMPTS = 5
"""Of several processes, each gets some of so many times their number: the kernel deals them out."""
ANSWER_SECONDS = 60
"""What a short answer may take: the first of all is slow where much is imported for it."""

CONTENDERS = [
    *(peer for peer in PEERS if peer.is_behind_sim),
    OURS_TWICE,
    OURS_WITH_DEBUG,
    hypercorn_floor("floor", "single", "each token a write"),
    hypercorn_floor("floor-4", "fours", "four tokens a write"),
]


class Seen(Struct, frozen=True):
    """What the model server saw of one prompt; 0 for what has not happened."""

    arrived_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    closed_ns: int = 0
    sent: int = 0


class Told(Struct, frozen=True):
    """All that the model server has to tell."""

    records: dict[str, Seen]
    late_p99_us: int
    late_max_us: int


class Upstream:
    """A running model server."""

    def __init__(self, pid: int, url: str) -> None:
        self.pid = pid
        self.url = url
        self._client = httpx.Client(base_url=url, trust_env=False)

    def told(self) -> Told:
        """Return what it has seen until now."""
        return msgspec.json.decode(self._client.get("/records").content, type=Told)

    def close(self) -> None:
        """Close the connection to it."""
        self._client.close()


class Arena:
    """What a measurement works with."""

    def __init__(
        self, peer: Peer, pid: int, command: str, client: Client, upstream: Upstream
    ) -> None:
        self.peer = peer
        self.pid = pid
        self.command = command
        self.client = client
        self.upstream = upstream
        self._markers = map("m{}".format, count())

    def asked(self, tokens: int, first_ms: int) -> Asked:
        """Return what to ask, under a name that nobody else has."""
        return Asked(next(self._markers), tokens, first_ms)

    def warm_up(self) -> None:
        """Have a few prompts answered: what is done once only is done now.

        *Errors:* NotHereError when the server does not answer a prompt.
        """
        for _ in range(WARM_UP_PROMPTS * self.peer.processes**2):
            self._be_answered()

    def _be_answered(self) -> None:
        reading = self.client.ask(self.asked(5, 0))
        if not self.client.run(lambda: reading.ended_ns, ANSWER_SECONDS):
            raise NotHereError("it does not answer a prompt")
        if not reading.first_text_ns:
            said = reading.reads[0][1][:300] if reading.reads else reading.failure
            raise NotHereError(f"it does not answer a prompt: {said!r}")


@contextmanager
def upstream_running() -> Iterator[Upstream]:
    """Run the model server."""
    words = [sys.executable, "-m", "tests.benchmarks.bench.upstream"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        upstream = Upstream(process.pid, process.stdout.readline().strip())
        try:
            yield upstream
        finally:
            upstream.close()
            stop(process)


@contextmanager
def setting() -> Iterator[tuple[Setting, Upstream]]:
    """Run the model server, with a folder and a port for a server before it."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        reserved_port() as port,
        upstream_running() as upstream,
    ):
        yield Setting(port, upstream.url, Path(folder)), upstream


@contextmanager
def arena(peer: Peer) -> Iterator[Arena]:
    """Start the server and warm it up.

    *Errors:* NotHereError when it does not come up, or does not answer.
    """
    with (
        setting() as (where, upstream),
        running(peer, where) as (pid, command),
        Client(where.port, peer.key) as client,
    ):
        made = Arena(peer, pid, command.shown(where), client, upstream)
        made.warm_up()
        yield made
