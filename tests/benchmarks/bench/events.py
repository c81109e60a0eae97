"""What debug events and subscribers cost that nobody wants: how many, and each one's time.

``python -m tests.benchmarks.bench.events`` times one of each, in a process of its own.
"""

import re
import subprocess
import sys
import timeit
from statistics import median
from types import SimpleNamespace

import msgspec
import structlog
from msgspec import Struct

from jarvis_trio.config import Settings
from jarvis_trio.observe.logs import configure_logs
from tests.benchmarks.bench.arena import ANSWER_SECONDS, setting
from tests.benchmarks.bench.client import Client
from tests.benchmarks.bench.tokens import Asked
from tests.benchmarks.peer import ROOT, NotHereError, Peer, printed, running

CALLS = 200_000
REPEATS = 5
FIRST_MS = 50

_DEBUG = re.compile(r"^\S+Z debug (\w+)", re.MULTILINE)
_FRAMED = "flush_done"


class Unwanted(Struct, frozen=True):
    """What one debug call below the level takes, and one look for a subscriber."""

    debug_call_ns: float
    absent_subscriber_ns: float


def debug_events(peer: Peer, tokens: int) -> tuple[int, int]:
    """Return how many debug events one answer has, and in how many frames it comes.

    ``peer`` tells its log all of them; they are counted once it has ended, and so written all.
    """
    with setting() as (where, _):
        with running(peer, where), Client(where.port, peer.key) as client:
            reading = client.ask(Asked("m0", tokens, FIRST_MS))
            client.run(lambda: reading.ended_ns, ANSWER_SECONDS)
        told = _DEBUG.findall(printed(where.folder))
    if _FRAMED not in told:
        raise NotHereError(f"its log tells no {_FRAMED}")
    return len(told), told.count(_FRAMED)


def unwanted() -> Unwanted:
    """Time both in a fresh process."""
    words = [sys.executable, "-m", "tests.benchmarks.bench.events"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=Unwanted)


def main() -> None:
    """Time a call as the engine makes it, on a logger like a stream's, at the default level.

    The loop round it is part of what is told.
    """
    configure_logs(Settings().log_level, Settings().log_format, None)
    log = structlog.get_logger("jarvis_trio").bind(trace="t", stream_id="s", session="x")
    framer = SimpleNamespace(on_text=None)
    told = Unwanted(
        debug_call_ns=_ns("log.debug('flush_done', tokens_sent=4)", log=log),
        absent_subscriber_ns=_ns("if framer.on_text is not None: pass", framer=framer),
    )
    sys.stdout.buffer.write(msgspec.json.encode(told))


def _ns(statement: str, **names: object) -> float:
    seconds = timeit.repeat(statement, globals=names, number=CALLS, repeat=REPEATS)
    return median(seconds) / CALLS * 1e9


if __name__ == "__main__":
    main()
