"""The scenarios with many sessions: ours passes, a broken server does not."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.load import MANY_SESSIONS
from jarvis_trio.storm.scenarios.soak import SOAK
from jarvis_trio.storm.target import read_target
from jarvis_trio.storm.trial import Trial, Verdict
from tests.end_to_end.processes import Sim
from tests.end_to_end.serving import serving
from tests.end_to_end.storm.playing import SETTINGS, SHORT, STEADY, broken, play

LIGHT = replace(SHORT, answer_seconds=1, soak_seconds=1.5, patience_seconds=10)
WRONG_TEXT = "every text is right: nothing lost, doubled or crossed"


def failed(trial: Trial) -> list[str]:
    return [finding.sentence for finding in trial.findings if not finding.holds]


def test_many_sessions_are_all_answered_by_ours(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        trial = play(MANY_SESSIONS, server, sim, LIGHT)
    assert trial.verdict is Verdict.PASS, trial.evidence
    names = [latency.name for latency in trial.latencies]
    assert names == ["prompt to first text", "gap between two pieces"]


def test_nothing_is_left_of_a_soak_of_ours(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **STEADY) as server:
        trial = play(SOAK, server, sim, replace(LIGHT, pid=server.process.pid))
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "the server gives its descriptors back" in [each.sentence for each in trial.findings]


@pytest.mark.parametrize("scenario", [MANY_SESSIONS, SOAK], ids=lambda scenario: scenario.name)
def test_a_server_without_sessions_passes_too(scenario: Scenario, sim: Sim) -> None:
    trial = play(scenario, read_target(sim.url), sim, LIGHT)
    assert trial.verdict is Verdict.PASS, trial.evidence


@pytest.mark.parametrize("scenario", [MANY_SESSIONS, SOAK], ids=lambda scenario: scenario.name)
def test_without_a_sim_only_the_clients_side_is_judged(scenario: Scenario, sim: Sim) -> None:
    trial = play(scenario, read_target(sim.url), None, LIGHT)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert any("without --sim" in note for note in trial.notes)


def test_soak_fails_a_server_that_leaks_upstream_connections(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "leaks_upstream_connections") as server:
        trial = play(SOAK, server, sim, replace(LIGHT, soak_seconds=4, patience_seconds=2))
    assert "nothing stays open at the model server" in failed(trial)


def test_many_sessions_passes_a_server_that_leaks_but_answers(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "leaks_upstream_connections") as server:
        trial = play(MANY_SESSIONS, server, sim, LIGHT)
    assert trial.verdict is Verdict.PASS, trial.evidence


def test_many_sessions_fails_a_server_that_mixes_up_texts(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "mixes_up_sessions") as server:
        trial = play(MANY_SESSIONS, server, sim, LIGHT)
    assert WRONG_TEXT in failed(trial)
    assert any("of another answer" in line for line in trial.evidence)


def test_many_sessions_fails_a_server_that_drops_a_piece(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "drops_a_piece") as server:
        trial = play(MANY_SESSIONS, server, sim, LIGHT)
    assert WRONG_TEXT in failed(trial)
    assert any("words are missing" in line for line in trial.evidence)
