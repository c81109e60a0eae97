"""How the scenarios with many sessions judge: over the mock upstream, in one process."""

import os
import resource
from contextlib import ExitStack

import pytest
import trio

from jarvis_trio.storm.run import run_storm
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.busy import BUSY
from jarvis_trio.storm.scenarios.load import LONGEST_IN_PATIENCE, MANY_SESSIONS
from jarvis_trio.storm.scenarios.soak import SOAK
from jarvis_trio.storm.stage import StormOptions
from jarvis_trio.storm.target import Target
from jarvis_trio.storm.trial import Trial, Verdict
from tests.end_to_end.storm.playing import Silent
from tests.storm.gateway import gateway
from tests.storm.raw_client import SimClient


async def played(scenario: Scenario, target: int, sim: int | None, options: StormOptions) -> Trial:
    witness = None if sim is None else Target("127.0.0.1", sim)
    with trio.fail_after(30):
        (trial,) = await run_storm(
            Target("127.0.0.1", target), witness, options, [scenario], Silent()
        )
    return trial


def failed(trial: Trial) -> dict[str, str]:
    return {finding.sentence: finding.seen for finding in trial.findings if not finding.holds}


async def test_descriptors_that_do_not_come_back_are_seen(
    sim: SimClient, nursery: trio.Nursery
) -> None:
    options = StormOptions(sessions=3, soak_seconds=1, patience_seconds=1, pid=os.getpid())
    with ExitStack() as leaked:

        async def leak() -> None:
            while True:
                leaked.enter_context(open(os.devnull, "rb"))  # noqa: ASYNC230, PTH123
                await trio.sleep(0.02)

        nursery.start_soon(leak)
        trial = await played(SOAK, sim.port, sim.port, options)
    assert "the server gives its descriptors back" in failed(trial)


async def test_a_reader_that_is_slow_by_itself_is_not_the_servers_fault(
    sim: SimClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jarvis_trio.storm.scenarios.soak.SLOW_READ_SECONDS", 0.5)
    first_reads_slowly = 1
    options = StormOptions(sessions=5, soak_seconds=2, patience_seconds=5, seed=first_reads_slowly)
    trial = await played(SOAK, sim.port, sim.port, options)
    assert "read slowly" in trial.notes[0]
    assert not failed(trial)


async def test_sessions_that_nobody_answers_are_given_up_and_counted(sim: SimClient) -> None:
    async def hold_back(prompt: bytes, client: trio.SocketStream) -> bool:
        if b"marker:many" in prompt:
            await trio.sleep_forever()
        return True

    async with gateway(sim.port, hold_back) as port:
        options = StormOptions(sessions=4, patience_seconds=4)
        trial = await played(MANY_SESSIONS, port, sim.port, options)
    seen = failed(trial)["every session is answered in full"]
    assert seen == "0 of 4; no answer, no end (not ended): 4"
    assert trial.seconds < LONGEST_IN_PATIENCE * options.patience_seconds


@pytest.mark.parametrize("scenario", [MANY_SESSIONS, BUSY], ids=lambda scenario: scenario.name)
async def test_more_sessions_than_descriptors_cannot_be_played(
    sim: SimClient, monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    trial = await played(scenario, sim.port, sim.port, StormOptions(sessions=50))
    assert trial.verdict is Verdict.NOT_APPLICABLE
    assert trial.evidence == ["needs 150 descriptors: the limit (ulimit -Hn) is 64"]
