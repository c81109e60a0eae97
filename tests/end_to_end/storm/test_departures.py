"""The scenario with clients that leave: ours passes, a server that does not notice them fails."""

from pathlib import Path

import pytest

from jarvis_trio.storm.scenarios.departures import DISCONNECT, LEAVERS
from jarvis_trio.storm.target import read_target
from jarvis_trio.storm.trial import Verdict
from tests.end_to_end.processes import Sim
from tests.end_to_end.serving import serving
from tests.end_to_end.storm.playing import IMPATIENT, SETTINGS, broken, failures, play

PHASES = {
    "connect": "before its headers",
    "prefill": "in prefill",
    "decode": "in decode",
    "whole": "while a whole answer is made",
}


def test_ours_frees_the_model_server_in_every_phase(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        trial = play(DISCONNECT, server, sim)
    assert trial.verdict is Verdict.PASS, trial.evidence
    measured = {latency.name: latency.count for latency in trial.latencies}
    for phase in PHASES.values():
        assert measured[f"client left {phase} to upstream closed"] == LEAVERS


def test_without_the_witness_only_the_answers_are_judged(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        trial = play(DISCONNECT, server, None)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "whether the model server was freed was not seen (no --sim)" in trial.notes


def test_a_server_without_sessions_passes(sim: Sim) -> None:
    trial = play(DISCONNECT, read_target(sim.url), sim)
    assert trial.verdict is Verdict.PASS, trial.evidence


@pytest.mark.parametrize("phase", PHASES)
def test_a_server_that_ignores_departures_in_one_phase_fails_there(
    tmp_path: Path, sim: Sim, phase: str
) -> None:
    with broken(tmp_path, sim, f"ignores_departures:{phase}") as server:
        trial = play(DISCONNECT, server, sim, IMPATIENT)
    assert failures(trial) == [f"a client that leaves {PHASES[phase]} frees the model server"]


def test_a_server_that_learns_of_departures_at_the_end_fails_wherever_the_end_is_far(
    tmp_path: Path, sim: Sim
) -> None:
    with broken(tmp_path, sim, ":".join(["ignores_departures", *PHASES])) as server:
        trial = play(DISCONNECT, server, sim, IMPATIENT)
    assert failures(trial) == [
        f"a client that leaves {phase} frees the model server" for phase in PHASES.values()
    ]
    (told,) = [line for line in trial.evidence if line.startswith("NOT: a client that leaves in d")]
    assert f"{LEAVERS} of {LEAVERS} still open after 4 s" in told
    assert "at most 0 tokens" not in told
