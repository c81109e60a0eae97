"""``make peers``: the storm against ours and others, and docs/peers.md from what it reports."""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from jarvis_trio.storm.scenarios.all import ALL
from tests.benchmarks.peer import FOLDER, ROOT, NotHereError, Peer, Setting, running
from tests.benchmarks.peers.page import Measured, Played, Run, write_page
from tests.benchmarks.servers import GRACE_SECONDS, PEERS
from tests.end_to_end.processes import reserved_port, running_sim

STORM = ["--sessions", "20", "--soak", "10s", "--grace", f"{GRACE_SECONDS}s"]
LONGEST_SECONDS = 300
"""What one scenario may take."""


def main() -> None:
    """Measure, and write the page; ``--page`` only writes it again, from the reports of a run."""
    parser = argparse.ArgumentParser(prog="make peers", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="measure this peer anew, keep the others")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page anew")
    wanted = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for peer in PEERS:
        if not wanted.page and wanted.only in (None, peer.name):
            measured = measure(peer)
            _kept(peer).write_bytes(msgspec.json.format(msgspec.json.encode(measured)))
    found = [
        msgspec.json.decode(_kept(peer).read_bytes(), type=Measured)
        for peer in PEERS
        if _kept(peer).exists()
    ]
    page = ROOT / "docs" / "peers.md"
    page.write_text(write_page(_run(), found), "utf-8")
    _say(f"written: {page.relative_to(ROOT)}")
    if missing := [measured.name for measured in found if measured.missing]:
        _say(f"NOT MEASURED, and the page says so: {', '.join(missing)}")


def measure(peer: Peer) -> Measured:
    """Install it, and play each scenario of the storm against a process of its own."""
    _say(f"== {peer.name}")
    measured = Measured(peer.name, peer.what, datetime.now(UTC))
    try:
        measured.versions = peer.prepare(FOLDER / peer.name.lower())
        for scenario in ALL:
            with (
                tempfile.TemporaryDirectory(prefix="peer-") as folder,
                reserved_port() as port,
                running_sim() as sim,
            ):
                setting = Setting(port, sim.url, Path(folder))
                _measure(peer, setting, scenario.name, measured)
    except NotHereError as error:
        measured.missing = " ".join(str(error).split())
        _say(f"!! {peer.name} IS NOT MEASURED: {error}")
    return measured


def _measure(peer: Peer, setting: Setting, scenario: str, measured: Measured) -> None:
    with running(peer, setting) as (pid, command):
        options = _storm_options(peer, setting, pid)
        report = setting.folder / "storm.json"
        _play([*options, "--scenario", scenario, "--json", str(report)])
    measured.command = command.shown(setting)
    measured.storm = " ".join(["jarvis-trio", "storm", *_shown(options, setting, pid)])
    played = msgspec.json.decode(report.read_bytes(), type=Played)
    measured.played.append(played)
    _say(f"   {scenario}: {played.trials[0].verdict}, {played.seconds:.0f} s")


def _storm_options(peer: Peer, setting: Setting, pid: int) -> list[str]:
    options = ["--url", f"http://127.0.0.1:{setting.port}"]
    if peer.key:
        options += ["--key", peer.key]
    if peer.is_behind_sim:
        options += ["--sim", setting.sim_url]
    if peer.can_be_told_to_go:
        options += ["--pid", str(pid)]
    return [*options, *STORM]


def _shown(options: list[str], setting: Setting, pid: int) -> list[str]:
    said = {f"http://127.0.0.1:{setting.port}": "http://127.0.0.1:8000", str(pid): "PID"}
    said[setting.sim_url] = "http://127.0.0.1:9999"
    return [said.get(option, option) for option in options]


def _play(options: list[str]) -> None:
    """Play it; a storm that cannot be played (status 2) is told in its own sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "jarvis_trio", "storm", *options],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise NotHereError(f"the storm could not be played: {done.stderr.strip()[-1000:]}")


def _run() -> Run:
    return Run(cores=os.cpu_count() or 1, system=f"{platform.system()} {platform.machine()}")


def _kept(peer: Peer) -> Path:
    return FOLDER / f"{peer.name.lower()}.json"


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
