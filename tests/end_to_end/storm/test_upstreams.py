"""The scenarios whose model server goes wrong: ours passes, broken servers do not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.upstreams import UPSTREAM_DIES, UPSTREAM_ERROR, UPSTREAM_HANGS
from jarvis_trio.storm.target import read_target
from jarvis_trio.storm.trial import Verdict
from tests.end_to_end.processes import Server, Sim
from tests.end_to_end.serving import serving
from tests.end_to_end.storm.playing import SETTINGS, SHORT, broken, failures, play

HASTY = replace(SHORT, patience_seconds=4)
"""Where a scenario waits as long as its patience lasts."""

PATIENT = replace(SHORT, patience_seconds=10)
"""Where it does not: a server that ends the wait itself may be held up beside."""

SAYS_SO = "each says that it failed: an error status, or an error frame"
LOOKS_WHOLE = "no failed answer looks like a whole one"


@pytest.fixture(scope="module", params=["openai", "ollama"])
def ours(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim
) -> Iterator[Server]:
    path = tmp_path_factory.mktemp(request.param)
    upstream = shared_sim.upstream(request.param)
    with serving(path, "--port", "0", "--upstream", upstream, **SETTINGS) as server:
        yield server


@pytest.mark.parametrize(
    "scenario", [UPSTREAM_DIES, UPSTREAM_ERROR], ids=lambda scenario: scenario.name
)
def test_ours_passes(ours: Server, sim: Sim, scenario: Scenario) -> None:
    trial = play(scenario, ours, sim, PATIENT)
    assert trial.verdict is Verdict.PASS, trial.evidence


def test_ours_lets_clients_of_a_hanging_upstream_go(ours: Server, sim: Sim) -> None:
    trial = play(UPSTREAM_HANGS, ours, sim, HASTY)
    assert trial.verdict is Verdict.PASS, trial.evidence
    assert any("still waiting after 4 s" in note for note in trial.notes)


def test_a_server_that_ends_the_wait_itself_is_asked_for_an_honest_end(
    tmp_path: Path, sim: Sim
) -> None:
    options = ("--port", "0", "--upstream", sim.upstream("openai"))
    timeouts = {"first_token_timeout_s": "2.5", "idle_timeout_s": "2.5"}
    with serving(tmp_path, *options, **SETTINGS, **timeouts) as server:
        trial = play(UPSTREAM_HANGS, server, sim, PATIENT)
    assert trial.verdict is Verdict.PASS, trial.evidence
    (ended,) = [each for each in trial.findings if "the server ends itself" in each.sentence]
    assert "HTTP 504" in ended.seen
    assert "error upstream_timeout" in ended.seen
    assert not any("still waiting" in note for note in trial.notes)


def test_a_server_that_passes_on_what_it_gets_fails_by_what_it_passes_on(sim: Sim) -> None:
    """The mock upstream itself: what it breaks arrives broken, and what it says arrives."""
    target = read_target(sim.url)
    assert failures(play(UPSTREAM_DIES, target, sim)) == [LOOKS_WHOLE, SAYS_SO]
    assert failures(play(UPSTREAM_ERROR, target, sim)) == [
        SAYS_SO,
        "every error is in OpenAI's shape",
    ]
    trial = play(UPSTREAM_HANGS, target, sim, HASTY)
    assert trial.verdict is Verdict.PASS, trial.evidence


@pytest.mark.parametrize(
    "scenario",
    [UPSTREAM_DIES, UPSTREAM_HANGS, UPSTREAM_ERROR],
    ids=lambda scenario: scenario.name,
)
def test_without_the_mock_upstream_they_do_not_apply(sim: Sim, scenario: Scenario) -> None:
    trial = play(scenario, read_target(sim.url), None)
    assert trial.verdict is Verdict.NOT_APPLICABLE
    assert "--sim" in trial.evidence[0]


def test_dies_fails_a_server_that_takes_the_end_of_bytes_for_the_end(
    tmp_path: Path, sim: Sim
) -> None:
    with broken(tmp_path, sim, "takes_the_end_of_bytes_for_the_end") as server:
        assert failures(play(UPSTREAM_DIES, server, sim)) == [LOOKS_WHOLE, SAYS_SO]
        assert failures(play(UPSTREAM_ERROR, server, sim)) == []


def test_dies_fails_a_server_that_ends_without_an_error(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "ends_without_an_error") as server:
        assert failures(play(UPSTREAM_DIES, server, sim)) == [LOOKS_WHOLE, SAYS_SO]


def test_error_fails_a_server_that_tells_errors_as_text(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "tells_errors_as_text") as server:
        found = failures(play(UPSTREAM_ERROR, server, sim))
        assert found == [LOOKS_WHOLE, SAYS_SO, "every error is in OpenAI's shape"]


def test_error_fails_a_server_that_tells_every_refusal_as_the_clients_fault(
    tmp_path: Path, sim: Sim
) -> None:
    with broken(tmp_path, sim, "tells_refusals_as_the_clients_fault") as server:
        found = failures(play(UPSTREAM_ERROR, server, sim))
    assert [sentence[:22] for sentence in found] == [
        "a refusal with 429 kee",
        "a refusal with 503 kee",
    ]


def test_hangs_fails_a_server_that_ends_the_wait_without_an_error(tmp_path: Path, sim: Sim) -> None:
    timeouts = {"first_token_timeout_s": "2.5", "idle_timeout_s": "2.5"}
    with broken(tmp_path, sim, "ends_without_an_error", **timeouts) as server:
        found = failures(play(UPSTREAM_HANGS, server, sim, PATIENT))
    assert found == ["a wait that the server ends itself ends with an error that says so"]


def test_hangs_fails_a_server_that_keeps_the_session_of_who_left(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "keeps_the_session_of_who_left") as server:
        found = failures(play(UPSTREAM_HANGS, server, sim, HASTY))
    assert found == ["the next prompt of the same conversation is answered"]


def test_hangs_fails_a_server_that_works_on_for_who_left(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "works_on_for_who_left") as server:
        found = failures(play(UPSTREAM_HANGS, server, sim, HASTY))
    assert (
        found[0] == "when its client leaves, the connection to the hanging model server is closed"
    )
