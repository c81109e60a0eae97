"""What is not the server's fault is not held against it, and what it did not do is no merit."""

import pytest
import trio

from jarvis_trio.storm.run import run_storm
from jarvis_trio.storm.scenarios import Scenario, readers
from jarvis_trio.storm.scenarios.readers import SLOW_READER
from jarvis_trio.storm.scenarios.upstreams import UPSTREAM_DIES, UPSTREAM_ERROR
from jarvis_trio.storm.stage import StormOptions
from jarvis_trio.storm.target import Target
from jarvis_trio.storm.trial import Trial, Verdict
from tests.end_to_end.storm.playing import Silent
from tests.storm.gateway import gateway
from tests.storm.raw_client import SimClient

TOKENS = 6000
BYTES_PER_SECOND = 150_000
"""So that those tokens take longer than half the patience and all of it."""

BUSY = b'{"error":{"message":"too much at once","type":"busy","code":"busy"}}'
REFUSAL = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(BUSY), BUSY)


async def played(scenario: Scenario, target: int, sim: SimClient) -> Trial:
    both = Target("127.0.0.1", target), Target("127.0.0.1", sim.port)
    with trio.fail_after(30):
        (trial,) = await run_storm(*both, StormOptions(patience_seconds=4), [scenario], Silent())
    return trial


async def test_a_gateway_that_takes_its_time_is_read_as_long_as_something_comes(
    sim: SimClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "SLOW_TOKENS", TOKENS)
    monkeypatch.setattr(readers, "SLOW", f"sim?tps=0&tokens={TOKENS}")

    async def pass_on(data: bytes, client: trio.SocketStream) -> bool:
        return True

    async def take_its_time(data: bytes) -> None:
        await trio.sleep(len(data) / BYTES_PER_SECOND)

    async with gateway(sim.port, pass_on, take_its_time) as port:
        trial = await played(SLOW_READER, port, sim)
    assert trial.verdict is Verdict.PASS, trial.evidence


@pytest.mark.parametrize(
    "scenario", [UPSTREAM_DIES, UPSTREAM_ERROR], ids=lambda scenario: scenario.name
)
async def test_a_gateway_that_refuses_all_prompts_itself_has_shown_nothing(
    sim: SimClient, scenario: Scenario
) -> None:
    async def refuse(data: bytes, client: trio.SocketStream) -> bool:
        if b"marker:failing" not in data:
            return True
        await client.send_all(REFUSAL)
        return False

    async with gateway(sim.port, refuse) as port:
        trial = await played(scenario, port, sim)
    failed = [finding.sentence for finding in trial.findings if not finding.holds]
    assert failed == ["prompts reach the model server"]
    assert any("never reached the model server" in note for note in trial.notes)
