"""Plays scenarios against servers in processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from jarvis_trio.storm.run import run_storm
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import Abilities, StormOptions
from jarvis_trio.storm.target import Target, read_target
from jarvis_trio.storm.trial import Trial
from tests.end_to_end.processes import Server, Sim
from tests.end_to_end.serving import environment

SHORT = StormOptions(sessions=20, prompts=8, gap_seconds=0.02, patience_seconds=5)


SETTINGS = {"write_stall_timeout_s": "1", "graceful_timeout_s": "1"}


class Silent:
    """Progress that nobody sees."""

    def knows(self, abilities: Abilities) -> None:
        pass

    def begins(self, scenario: Scenario) -> None:
        pass

    def ends(self, trial: Trial) -> None:
        pass


@contextmanager
def broken(tmp_path: Path, sim: Sim, what: str, *options: str, **settings: str) -> Iterator[Target]:
    """Run our server with one mechanism broken: nothing is asked of how it ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.end_to_end.storm.broken", what, "--port", "0", *options],
        cwd=tmp_path,
        env=environment(upstream=sim.upstream("openai"), **SETTINGS, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("jarvis_trio ready on "), ready
        yield read_target(ready.split()[3], "devkey")
    finally:
        process.kill()
        process.communicate()


def play(
    scenario: Scenario,
    server: Server | Target,
    sim: Sim | None,
    options: StormOptions = SHORT,
) -> Trial:
    """Play one scenario and return what it found."""
    target = server if isinstance(server, Target) else read_target(server.url, "devkey")
    witness = None if sim is None else read_target(sim.url)
    (trial,) = trio.run(run_storm, target, witness, options, [scenario], Silent())
    return trial
