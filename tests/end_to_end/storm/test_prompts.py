"""The scenarios with prompts on the heels of prompts: ours passes, a broken server does not."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.busy import BUSY
from jarvis_trio.storm.scenarios.neighbours import TWO_SESSIONS
from jarvis_trio.storm.scenarios.prompts import RAPID, TEN_IN_A_ROW
from jarvis_trio.storm.scenarios.stop import STOP
from jarvis_trio.storm.target import read_target
from jarvis_trio.storm.trial import Trial, Verdict
from tests.end_to_end.processes import Server, Sim, running_sim
from tests.end_to_end.serving import serving
from tests.end_to_end.storm.playing import SETTINGS, SHORT, broken, play, play_all

ALL = [RAPID, TEN_IN_A_ROW, TWO_SESSIONS, STOP, BUSY]
FEW_PLACES = {"upstream_concurrency": "1", "max_queue": "1"}
FEW = replace(SHORT, sessions=8)
FREE = "the model server is free of an answer in the middle when its stop is answered"
UNDERSTOOD = "a busy session refuses in a way that clients understand"


def failures(trials: list[Trial]) -> dict[str, list[str]]:
    """Return what did not hold, by scenario."""
    return {
        trial.scenario: [finding.sentence for finding in trial.findings if not finding.holds]
        for trial in trials
        if trial.verdict is Verdict.FAIL
    }


def test_ours_passes(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        trials = play_all(ALL, server, sim)
    assert not failures(trials), [trial.evidence for trial in trials]
    assert {trial.verdict for trial in trials} == {Verdict.PASS}
    assert UNDERSTOOD in " ".join(trials[-1].evidence)
    names = {latency.name for trial in trials for latency in trial.latencies}
    assert "next prompt to the close at the model server" in names


def test_a_server_without_sessions_is_judged_by_departures(sim: Sim) -> None:
    trials = play_all(ALL, read_target(sim.url), sim)
    assert not failures(trials), [trial.evidence for trial in trials]
    for trial in trials:
        assert "no sessions" in " ".join(trial.evidence), trial.evidence


def test_without_a_witness_what_a_client_sees_is_judged(simulated_server: Server) -> None:
    trials = play_all(ALL, simulated_server, None)
    assert [trial.verdict for trial in trials] == [
        Verdict.PASS,
        Verdict.PASS,
        Verdict.NOT_APPLICABLE,
        Verdict.PASS,
        Verdict.PASS,
    ], [trial.evidence for trial in trials]


def test_without_a_witness_an_answer_that_ends_before_the_next_prompt_is_no_fault(
    tmp_path: Path,
) -> None:
    options = replace(SHORT, prompts=3, gap_seconds=0.7)
    with running_sim("--tokens", "8") as sim, broken(tmp_path, sim, "nothing") as server:
        trials = play_all([RAPID, BUSY], server, None, options)
    assert not failures(trials), [trial.evidence for trial in trials]


def test_without_a_witness_two_answers_at_once_are_seen(tmp_path: Path) -> None:
    with (
        running_sim("--tokens", "40") as sim,
        broken(tmp_path, sim, "answers_two_at_once") as server,
    ):
        trials = play_all([RAPID], server, None)
    told = failures(trials)["rapid"]
    assert "none of the others is answered in full beside a later one" in told


def test_ours_with_few_places_refuses_and_answers_who_comes_back(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS, **FEW_PLACES) as server:
        trial = play(BUSY, server, sim, FEW)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "with HTTP 429" in " ".join(trial.evidence)


def test_a_witness_that_sees_no_prompts_is_an_error(simulated_server: Server, sim: Sim) -> None:
    with pytest.raises(ConfigError, match="answers, but not from --sim"):
        play(RAPID, simulated_server, sim)


@pytest.mark.parametrize(
    ("what", "scenario", "sentence"),
    [
        ("answers_two_at_once", RAPID, "the model server never has two of the session at once"),
        ("never_ends_superseded", RAPID, "every prompt comes to an end"),
        ("loses_who_supersedes", RAPID, "the last prompt is answered in full"),
        ("keeps_the_session", TEN_IN_A_ROW, "none of them hangs"),
        ("mixes_sessions", TWO_SESSIONS, "B's text is the same as without A"),
        ("blocks_when_superseded", TWO_SESSIONS, "B is not held up by what happens to A"),
        ("stops_only_the_page", STOP, FREE),
        (
            "stops_without_a_word",
            STOP,
            "an answer in the middle ends with a word when it is stopped",
        ),
        ("rejects_and_lets_retry", BUSY, UNDERSTOOD),
        ("rejects_both", BUSY, "and its live answer goes on"),
    ],
)
def test_a_broken_server_fails_the_scenario_that_looks_at_it_and_no_other(
    tmp_path: Path, sim: Sim, what: str, scenario: Scenario, sentence: str
) -> None:
    with broken(tmp_path, sim, what) as server:
        failed = failures(play_all(ALL, server, sim, FEW))
    assert failed.keys() == {scenario.name}, failed
    assert sentence in failed[scenario.name]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (
            "refuses_without_a_time",
            "who is not answered is refused in a way that clients understand",
        ),
        ("keeps_refused_places", "who asks again when told to is answered in the end"),
    ],
)
def test_a_server_that_breaks_when_it_is_full_fails_busy_and_no_other(
    tmp_path: Path, sim: Sim, what: str, sentence: str
) -> None:
    with broken(tmp_path, sim, what, **FEW_PLACES) as server:
        failed = failures(play_all(ALL, server, sim, FEW))
    assert failed.keys() == {BUSY.name}, failed
    assert sentence in failed[BUSY.name]
