"""The sim, served inside the test's own trio run."""

import pytest
import trio

from jarvis_trio.storm.sim import SimOptions, serve_sim
from tests.storm.raw_client import SimClient


@pytest.fixture
async def sim(nursery: trio.Nursery) -> SimClient:
    port = await nursery.start(serve_sim, SimOptions(tokens_per_second=0), "127.0.0.1", 0)
    return SimClient(port)
