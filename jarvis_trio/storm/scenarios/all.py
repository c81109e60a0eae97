"""Every scenario, in the order of playing."""

from typing import Final

from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.prompts import RAPID

ALL: Final[tuple[Scenario, ...]] = (RAPID,)
