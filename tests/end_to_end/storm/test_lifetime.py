"""The scenarios with long silences, kept connections and the server's end."""

from pathlib import Path

import trio
from msgspec.structs import replace

from jarvis_trio.storm.run import run_storm
from jarvis_trio.storm.scenarios.lifetime import IDLE, SHUTDOWN
from jarvis_trio.storm.scenarios.prompts import RAPID
from jarvis_trio.storm.target import read_target
from jarvis_trio.storm.trial import Verdict
from tests.end_to_end.processes import Sim
from tests.end_to_end.serving import serving
from tests.end_to_end.storm.playing import (
    SETTINGS,
    SHORT,
    Silent,
    broken,
    broken_process,
    failures,
    play,
)

HASTY = replace(SHORT, patience_seconds=4, grace_seconds=1)

CALM = replace(HASTY, patience_seconds=10)
"""For a silence in which the server has something to do: it may be held up for seconds."""

KEPT = "a connection that is kept is good for the next prompt, or closed"


def test_ours_waits_for_a_silent_model_and_tells_its_client_so(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS, keepalive_s="0.3") as server:
        trial = play(IDLE, server, sim, CALM)
    assert trial.verdict is Verdict.PASS, trial.evidence
    (kept,) = [finding for finding in trial.findings if finding.sentence == KEPT]
    assert kept.seen.startswith("used again")
    pings = [int(note.split()[0]) for note in trial.notes if "pings" in note]
    assert len(pings) == 3
    assert all(pings)


def test_a_server_without_pings_waits_too(sim: Sim) -> None:
    trial = play(IDLE, read_target(sim.url), sim, HASTY)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "0 comments (pings) came while it was silent before its headers" in trial.notes


def test_without_the_mock_upstream_a_kept_connection_is_tried(sim: Sim) -> None:
    trial = play(IDLE, read_target(sim.url), None, HASTY)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert trial.findings[0].sentence == KEPT


def test_idle_fails_a_server_that_wedges_kept_connections(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "wedges_kept_connections") as server:
        assert failures(play(IDLE, server, sim, HASTY)) == [KEPT]


def test_a_server_that_keeps_no_connection_closes_it(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "keeps_no_connection") as server:
        trial = play(IDLE, server, sim, HASTY)
    assert trial.verdict is Verdict.PASS, trial.evidence
    (kept,) = [finding for finding in trial.findings if finding.sentence == KEPT]
    assert kept.seen.startswith("it was closed behind: HTTP 200")


def test_idle_fails_a_server_that_says_close_and_stays_open(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "says_close_and_stays_open") as server:
        trial = play(IDLE, server, sim, HASTY)
    assert failures(trial) == [KEPT]
    assert "the answer said that it is not kept" in trial.evidence[0]


def test_idle_fails_a_server_that_does_not_wait(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS, idle_timeout_s="2.5") as server:
        found = failures(play(IDLE, server, sim, CALM))
    assert found == ["a model that is silent for 5 s between two words is waited for"]


def test_ours_goes_with_every_answer_ended_when_all_else_is_played(
    tmp_path: Path, sim: Sim
) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        target, witness = read_target(server.url, "devkey"), read_target(sim.url)
        hasty = replace(HASTY, pid=server.process.pid)
        trials = trio.run(run_storm, target, witness, hasty, [SHUTDOWN, RAPID], Silent())
    assert [trial.scenario for trial in trials] == ["rapid", "shutdown"]
    trial = trials[-1]
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert [latency.count for latency in trial.latencies] == [5, 1]
    assert "error server_shutdown" in str(trial.findings)


def test_shutdown_needs_a_process(sim: Sim) -> None:
    trial = play(SHUTDOWN, read_target(sim.url), sim)
    assert trial.verdict is Verdict.NOT_APPLICABLE
    assert "--pid" in trial.evidence[0]


def test_shutdown_fails_a_server_that_cuts_its_streams(tmp_path: Path, sim: Sim) -> None:
    with broken_process(tmp_path, sim, "cuts_streams_at_shutdown") as (server, pid):
        found = failures(play(SHUTDOWN, server, sim, replace(HASTY, pid=pid)))
    assert found == ["no answer is cut: each comes to its end, or to an error frame"]


def test_shutdown_fails_a_server_that_waits_for_every_reader(tmp_path: Path, sim: Sim) -> None:
    with broken_process(tmp_path, sim, "waits_for_every_reader_at_shutdown") as (server, pid):
        found = failures(play(SHUTDOWN, server, sim, replace(HASTY, pid=pid)))
    assert found == ["the process goes within 5 s, whoever does not read"]


def test_shutdown_fails_a_server_that_does_not_hear_the_signal(tmp_path: Path, sim: Sim) -> None:
    with broken_process(tmp_path, sim, "hears_no_signal") as (server, pid):
        found = failures(play(SHUTDOWN, server, sim, replace(HASTY, pid=pid)))
    assert found == [
        "no answer is cut: each comes to its end, or to an error frame",
        "the process goes within 5 s, whoever does not read",
        "new prompts come to be refused, or told 503, within 4 s",
    ]
