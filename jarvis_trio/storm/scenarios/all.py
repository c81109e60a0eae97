"""Every scenario, in the order of playing."""

from typing import Final

from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.busy import BUSY
from jarvis_trio.storm.scenarios.departures import DISCONNECT
from jarvis_trio.storm.scenarios.lifetime import IDLE, SHUTDOWN
from jarvis_trio.storm.scenarios.load import MANY_SESSIONS
from jarvis_trio.storm.scenarios.neighbours import TWO_SESSIONS
from jarvis_trio.storm.scenarios.prompts import RAPID, TEN_IN_A_ROW
from jarvis_trio.storm.scenarios.readers import SLOW_READER, STALLED_READER
from jarvis_trio.storm.scenarios.soak import SOAK
from jarvis_trio.storm.scenarios.stop import STOP
from jarvis_trio.storm.scenarios.upstreams import UPSTREAM_DIES, UPSTREAM_ERROR, UPSTREAM_HANGS

ALL: Final[tuple[Scenario, ...]] = (
    RAPID,
    TEN_IN_A_ROW,
    TWO_SESSIONS,
    DISCONNECT,
    STOP,
    STALLED_READER,
    SLOW_READER,
    UPSTREAM_DIES,
    UPSTREAM_HANGS,
    UPSTREAM_ERROR,
    BUSY,
    MANY_SESSIONS,
    IDLE,
    SOAK,
    SHUTDOWN,
)
