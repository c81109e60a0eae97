"""The scenarios with prompts on the heels of prompts: ours passes, a broken server does not."""

from pathlib import Path

from jarvis_trio.storm.scenarios.prompts import RAPID
from jarvis_trio.storm.target import read_target
from jarvis_trio.storm.trial import Verdict
from tests.end_to_end.processes import Sim
from tests.end_to_end.serving import serving
from tests.end_to_end.storm.playing import SETTINGS, broken, play


def test_ours_passes(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        trial = play(RAPID, server, sim)
        assert trial.verdict is Verdict.PASS, trial.evidence


def test_a_server_without_sessions_is_judged_by_departures(sim: Sim) -> None:
    trial = play(RAPID, read_target(sim.url), sim)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert any("no sessions" in note for note in trial.notes)


def test_rapid_fails_a_server_that_answers_two_prompts_of_a_session_at_once(
    tmp_path: Path, sim: Sim
) -> None:
    with broken(tmp_path, sim, "answers_two_at_once") as server:
        trial = play(RAPID, server, sim)
    assert trial.verdict is Verdict.FAIL
    failed = [finding.sentence for finding in trial.findings if not finding.holds]
    assert "the model server never has two of the session at once" in failed
