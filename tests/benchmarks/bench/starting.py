"""How long a server takes from nothing to its first words, and our package to be imported."""

import subprocess
import sys
import time
from functools import partial

from tests.benchmarks.bench.arena import setting
from tests.benchmarks.bench.client import Client
from tests.benchmarks.bench.tokens import Asked
from tests.benchmarks.peer import READY_SECONDS, ROOT, Peer, not_up, started

RETRY_SECONDS = 0.005
ATTEMPT_SECONDS = 60


def cold_start_ms(peer: Peer) -> float:
    """Start the server and ask it at once, again and again until there is a first text."""
    with setting() as (where, _):
        command = peer.command(where)
        begun = time.monotonic()
        with started(command, where.folder) as process, Client(where.port, peer.key) as client:
            while process.poll() is None and time.monotonic() < begun + READY_SECONDS:
                reading = client.ask(Asked(f"m{time.monotonic_ns()}", 1, 0))
                if client.run_until_text(reading, ATTEMPT_SECONDS):
                    return reading.first_text_ns / 1e6 - begun * 1e3
                time.sleep(RETRY_SECONDS)
            raise not_up(where.folder)


def _start_ms(program: str) -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    return (time.monotonic() - begun) * 1e3


import_ms = partial(_start_ms, "import jarvis_trio.serve, jarvis_trio.cli")
bare_start_ms = partial(_start_ms, "pass")
