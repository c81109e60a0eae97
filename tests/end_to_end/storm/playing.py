"""Plays scenarios against servers in processes of their own."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
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

IMPATIENT = StormOptions(gap_seconds=0.02, patience_seconds=4)
"""For scenarios that wait in vain."""

SETTINGS = {"write_stall_timeout_s": "1", "graceful_timeout_s": "1"}

STEADY = SETTINGS | {"write_stall_timeout_s": "3"}
"""Where our own clients read slowly: held up for two seconds, they have not stalled."""


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
    with broken_process(tmp_path, sim, what, *options, **settings) as (target, _):
        yield target


@contextmanager
def broken_process(
    tmp_path: Path, sim: Sim, what: str, *options: str, **settings: str
) -> Iterator[tuple[Target, int]]:
    """Do the same, and tell the process's id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.end_to_end.storm.broken", what, "--port", "0", *options],
        cwd=tmp_path,
        env=environment(upstream=sim.upstream("openai"), **SETTINGS | settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("jarvis_trio ready on "), ready
        yield read_target(ready.split()[3], "devkey"), process.pid
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
    (trial,) = play_all([scenario], server, sim, options)
    return trial


def play_all(
    scenarios: Iterable[Scenario],
    server: Server | Target,
    sim: Sim | None,
    options: StormOptions = SHORT,
) -> list[Trial]:
    """Play scenarios one after the other and return what each found."""
    target = server if isinstance(server, Target) else read_target(server.url, "devkey")
    witness = None if sim is None else read_target(sim.url)
    return trio.run(run_storm, target, witness, options, scenarios, Silent())


def failures(trial: Trial) -> list[str]:
    """Return what a correct server does and this one did not."""
    return [finding.sentence for finding in trial.findings if not finding.holds]
