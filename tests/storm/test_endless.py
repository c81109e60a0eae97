"""What is to be ended early must not end by itself while somebody waits for that."""

import pytest

from jarvis_trio.storm.durations import LONGEST_SECONDS
from jarvis_trio.storm.scenarios.departures import PHASES
from jarvis_trio.storm.scenarios.neighbours import WILD
from jarvis_trio.storm.sim.scenarios import SimOptions, read_scenario
from jarvis_trio.storm.stage import LOADING, LONG

TO_LEAVE = [phase.behaviour for phase in PHASES if phase.name != "at its last byte"]


@pytest.mark.parametrize("behaviour", [LONG, LOADING, WILD, *TO_LEAVE])
def test_the_longest_patience_is_over_before_an_endless_answer(behaviour: str) -> None:
    scenario = read_scenario(behaviour, SimOptions())
    silent = scenario.headers_seconds + scenario.first_token_seconds
    assert silent + scenario.tokens / scenario.tokens_per_second > LONGEST_SECONDS
