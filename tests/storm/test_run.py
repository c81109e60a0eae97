"""What the frame does with every scenario, played against the mock upstream itself."""

import time
from collections.abc import Awaitable, Callable
from math import inf

import pytest
import trio

from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.lag import TOO_LATE_MS
from jarvis_trio.storm.run import run_storm
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.sim import SimOptions, serve_sim
from jarvis_trio.storm.stage import Stage, StormOptions
from jarvis_trio.storm.target import Target
from jarvis_trio.storm.trial import NotApplicableError, Trial, Verdict
from tests.end_to_end.storm.playing import Silent
from tests.storm.gateway import gateway
from tests.storm.raw_client import SimClient

LATE_SECONDS = 2 * TOO_LATE_MS / 1000


async def played(sim: SimClient, play: Callable[[Stage, Trial], Awaitable[None]]) -> Trial:
    target = Target("127.0.0.1", sim.port)
    scenario = Scenario("name", "promise", play)
    with trio.fail_after(20):
        (trial,) = await run_storm(target, target, StormOptions(), [scenario], Silent())
    return trial


async def measure_a_second_with_half_a_second_for_it(stage: Stage, trial: Trial) -> None:
    trial.measure("first text", [1_000_000_000], at_most_seconds=0.5)


async def test_a_latency_over_its_limit_fails_the_server(
    sim: SimClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jarvis_trio.storm.trial.TOO_LATE_MS", inf)  # the machine may stutter
    trial = await played(sim, measure_a_second_with_half_a_second_for_it)
    assert trial.verdict is Verdict.FAIL
    assert trial.evidence[0] == "NOT: first text: never more than 0.5 s (at most 1000 ms)"


async def test_a_harness_that_was_held_up_itself_does_not_judge_latencies(sim: SimClient) -> None:
    async def play(stage: Stage, trial: Trial) -> None:
        await trio.sleep(0.01)
        time.sleep(LATE_SECONDS)  # noqa: ASYNC251 - the loop is to be held up
        await measure_a_second_with_half_a_second_for_it(stage, trial)

    trial = await played(sim, play)
    assert trial.lag_ms > TOO_LATE_MS
    assert trial.verdict is Verdict.PASS
    assert any("latencies are not judged" in line for line in trial.evidence)


async def test_what_comes_after_a_hold_is_not_the_harness_being_late(sim: SimClient) -> None:
    lags = []

    async def play(stage: Stage, trial: Trial) -> None:
        stage.lag.hold()
        lags.append(stage.lag.worst_ms)
        time.sleep(LATE_SECONDS)  # noqa: ASYNC251 - sums, for example
        await trio.sleep(0.01)

    trial = await played(sim, play)
    assert trial.lag_ms == round(lags[0], 1)


async def test_a_scenario_that_cannot_be_played_says_what_is_missing(sim: SimClient) -> None:
    async def play(stage: Stage, trial: Trial) -> None:
        stage.need_sessions()

    trial = await played(sim, play)
    assert trial.verdict is Verdict.NOT_APPLICABLE
    assert "no sessions" in trial.evidence[0]


async def test_a_reason_from_within_a_nursery_is_found(sim: SimClient) -> None:
    async def play(stage: Stage, trial: Trial) -> None:
        async def find_out() -> None:
            raise NotApplicableError("nothing is there")

        async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - it makes a group
            nursery.start_soon(find_out)

    assert (await played(sim, play)).evidence == ["nothing is there"]


async def test_a_server_that_no_longer_answers_has_failed_the_scenario(sim: SimClient) -> None:
    async def play(stage: Stage, trial: Trial) -> None:
        stage.target = Target("127.0.0.1", 1)

    trial = await played(sim, play)
    assert trial.verdict is Verdict.FAIL
    assert trial.evidence[0].startswith("NOT: the server can be reached")


async def test_a_mock_upstream_that_goes_in_the_middle_is_not_the_servers_fault(
    sim: SimClient, nursery: trio.Nursery
) -> None:
    async def serve(task_status: trio.TaskStatus[tuple[int, trio.CancelScope]]) -> None:
        with trio.CancelScope() as until_then:
            async with trio.open_nursery() as serving:
                port = await serving.start(serve_sim, SimOptions(), "127.0.0.1", 0)
                task_status.started((port, until_then))

    port, until_then = await nursery.start(serve)
    both = Target("127.0.0.1", port)

    async def play(stage: Stage, trial: Trial) -> None:
        stage.target = Target("127.0.0.1", sim.port)
        async with trio.open_nursery() as asking:
            until_then.cancel(reason="somebody ended it")
            await trio.testing.wait_all_tasks_blocked()
            asking.start_soon(stage.ask)

    with trio.fail_after(20), pytest.raises(ConfigError, match=f"{port} cannot be reached: .*seen"):
        await run_storm(both, both, StormOptions(), [Scenario("n", "p", play)], Silent())


async def test_a_server_that_lists_its_models_for_everybody_refuses_the_key_too(
    sim: SimClient,
) -> None:
    async def refuse_prompts(data: bytes, client: trio.SocketStream) -> bool:
        if data.startswith(b"GET"):
            return True
        await client.send_all(b"HTTP/1.1 401 Who?\r\nContent-Length: 0\r\n\r\n")
        return False

    async with gateway(sim.port, refuse_prompts) as port:
        target = Target("127.0.0.1", port)
        with trio.fail_after(5), pytest.raises(ConfigError, match="refuses the key"):
            await run_storm(target, None, StormOptions(), [], Silent())


async def test_where_nobody_listens_there_is_a_sentence() -> None:
    nowhere = Target("127.0.0.1", 1)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1 cannot be reached"):
        await run_storm(nowhere, None, StormOptions(), [], Silent())


async def test_a_first_prompt_may_take_as_long_as_anything_else(
    sim: SimClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jarvis_trio.storm.run.PROBE_SECONDS", 2.5)
    target = Target("127.0.0.1", sim.port)
    loading = "sim?first_ms=3500&tokens=1"
    with trio.fail_after(20):
        options = StormOptions(model=loading, patience_seconds=8)
        assert await run_storm(target, None, options, [], Silent()) == []
        options = StormOptions(model=loading, patience_seconds=0.5)
        with pytest.raises(ConfigError, match=r"does not answer within 2\.5 s"):
            await run_storm(target, None, options, [], Silent())
