"""``make bench``: ours and others side by side, and docs/performance.md from what was measured."""

import argparse
import resource
import sys
from pathlib import Path

import msgspec

from tests.benchmarks.bench.arena import CONTENDERS
from tests.benchmarks.bench.figures import summarise
from tests.benchmarks.bench.page import write_page
from tests.benchmarks.bench.picture import draw
from tests.benchmarks.bench.rounds import TINY, Plan, kept, measure
from tests.benchmarks.peer import FOLDER, OURS, ROOT
from tests.benchmarks.servers import OURS_TWICE, OURS_WITH_DEBUG

TINY_CONTENDERS = [OURS, OURS_TWICE.name, OURS_WITH_DEBUG.name, "floor-4"]
"""Those that need nothing installed."""


def main() -> None:
    """Measure, and write the page; ``--page`` only writes it again, from the files of a run."""
    wanted = _parser().parse_args()
    raw = (wanted.into or FOLDER) / "bench"
    docs = wanted.into or ROOT / "docs"
    _raise_limit_of_open_files()
    if not wanted.page:
        only = TINY_CONTENDERS if wanted.tiny else wanted.only or [peer.name for peer in CONTENDERS]
        peers = [peer for peer in CONTENDERS if peer.name in only]
        plan = Plan(wanted.rounds, wanted.streams, wanted.seconds)
        measure(peers, TINY if wanted.tiny else plan, raw)
    summary = summarise(kept(CONTENDERS, raw))
    picture = docs / "performance.svg"
    picture.write_text(draw(summary), "utf-8")
    numbers = docs / "performance.json"
    numbers.write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    page = docs / "performance.md"
    page.write_text(write_page(summary), "utf-8")
    for missing in (server for server in summary.servers if server.missing):
        sys.stdout.write(f"NOT MEASURED, and the page says so: {missing.name}\n")
    sys.stdout.write(f"written: {page}, {picture.name}, {numbers.name}; from {raw}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = [peer.name for peer in CONTENDERS]
    parser.add_argument("--rounds", type=int, default=2, help="how often all is measured")
    parser.add_argument("--streams", type=_numbers, default=Plan().streams, metavar="N,N…")
    parser.add_argument("--seconds", type=float, default=4, help="how long each answer streams")
    parser.add_argument(
        "--only", nargs="+", choices=names, help="measure these anew, keep the others"
    )
    parser.add_argument("--tiny", action="store_true", help="little, for correctness alone")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page anew")
    parser.add_argument("--into", type=Path, help="a folder for the page and what was measured")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _raise_limit_of_open_files() -> None:
    """Let the client, and all that it starts, have as many sockets as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
