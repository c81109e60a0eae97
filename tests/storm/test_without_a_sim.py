"""Against a real model server, whose answers are as long as it likes, nothing waits for their end.

The mock upstream plays it: nobody scripts it, and what nobody limits takes hours.
"""

import pytest
import trio

from jarvis_trio.storm.run import run_storm
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.all import ALL
from jarvis_trio.storm.sim import SimOptions, serve_sim
from jarvis_trio.storm.stage import StormOptions
from jarvis_trio.storm.target import Target
from jarvis_trio.storm.trial import Verdict
from tests.end_to_end.storm.playing import Silent

LENGTHY = SimOptions(tokens_per_second=100, tokens=1_000_000)
SHORT = StormOptions(
    sessions=5,
    prompts=4,
    gap_seconds=0.02,
    model="sim?named=1",  # no word of it is one that a scenario knows
    answer_seconds=1,
    soak_seconds=1,
    patience_seconds=5,
)
NEED_MORE = {
    "two-sessions": "needs --sim",
    "stop": "no sessions",
    "upstream-dies": "needs --sim",
    "upstream-hangs": "needs --sim",
    "upstream-error": "needs --sim",
    "shutdown": "needs --pid",
}


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
async def test_a_server_with_lengthy_answers_passes_or_is_not_judged(
    scenario: Scenario, nursery: trio.Nursery
) -> None:
    port = await nursery.start(serve_sim, LENGTHY, "127.0.0.1", 0)
    with trio.fail_after(30):
        (trial,) = await run_storm(Target("127.0.0.1", port), None, SHORT, [scenario], Silent())
    if (missing := NEED_MORE.get(scenario.name)) is None:
        assert trial.verdict is Verdict.PASS, trial.evidence
    else:
        assert missing in str(trial.missing)
