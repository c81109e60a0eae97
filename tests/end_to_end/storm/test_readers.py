"""The scenarios with clients that read slowly, or no more: ours passes, broken servers do not."""

from pathlib import Path

from msgspec.structs import replace

from jarvis_trio.storm.scenarios.departures import DISCONNECT
from jarvis_trio.storm.scenarios.readers import SLOW_READER, STALLED_READER
from jarvis_trio.storm.stage import StormOptions
from jarvis_trio.storm.target import read_target
from jarvis_trio.storm.trial import Trial, Verdict
from tests.end_to_end.processes import Sim
from tests.end_to_end.serving import serving
from tests.end_to_end.storm.playing import (
    IMPATIENT,
    SETTINGS,
    SHORT,
    STEADY,
    broken,
    failures,
    play,
)

LASTING = replace(SHORT, patience_seconds=12)
"""It reads slowly for longer than a server takes to see that a client has stalled."""


def test_a_stalled_reader_holds_up_nobody_of_ours(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        trial = play(STALLED_READER, server, sim)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "that prompt ends the stalled answer at the model server" in sentences(trial)


def test_without_the_witness_a_stalled_reader_is_judged_by_the_next_answer(
    tmp_path: Path, sim: Sim
) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **SETTINGS) as server:
        trial = play(STALLED_READER, server, None)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "the session's next prompt is answered in full meanwhile" in sentences(trial)
    assert any("not seen (no --sim)" in note for note in trial.notes)


def test_without_sessions_how_long_a_stalled_reader_is_kept_decides_nothing(sim: Sim) -> None:
    trial = play(STALLED_READER, read_target(sim.url), sim, IMPATIENT)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "its answer was still open at the model server after 4 s" in trial.notes
    assert "another client's prompt is answered in full meanwhile" in sentences(trial)


def test_a_server_whose_stalled_readers_block_their_session_fails(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "waits_for_readers", write_stall_timeout_s="60") as server:
        trial = play(STALLED_READER, server, sim, IMPATIENT)
        other = play(DISCONNECT, server, sim)
    assert failures(trial) == ["the session's next prompt is answered in full meanwhile"]
    assert other.verdict is Verdict.PASS, other.evidence


def test_a_slow_reader_of_ours_gets_every_byte(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    with serving(tmp_path, *options, **STEADY) as server:
        trial = play(SLOW_READER, server, sim, LASTING)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert "not a byte of it is lost or changed" in sentences(trial)


def test_a_slow_reader_of_a_server_without_sessions_gets_every_byte(sim: Sim) -> None:
    trial = play(SLOW_READER, read_target(sim.url), sim)
    assert trial.verdict is Verdict.PASS, trial.evidence


def test_a_server_that_drops_slow_readers_fails(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "drops_slow_readers") as server:
        trial = play(SLOW_READER, server, sim, StormOptions(patience_seconds=8))
        other = play(STALLED_READER, server, sim)
    assert failures(trial) == [
        "a slow reader gets its answer to the end",
        "not a byte of it is lost or changed",
    ]
    assert other.verdict is Verdict.PASS, other.evidence


def sentences(trial: Trial) -> list[str]:
    return [finding.sentence for finding in trial.findings]
