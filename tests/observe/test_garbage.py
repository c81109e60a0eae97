"""Full collections: when they are worth their pause, and not while streams begin."""

import gc
import weakref

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.observe.garbage import LOOK_SECONDS, collect_when_due, is_due


class _Circle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def gone_late() -> "weakref.ref[_Circle]":
    """Return what the smaller collections have passed on, and what has died only then."""
    circle = _Circle()
    gone = weakref.ref(circle)
    gc.collect(1)
    del circle
    gc.collect(1)
    assert gone() is not None
    return gone


async def look_once(live_streams: int) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect_when_due, lambda: live_streams)
        await trio.sleep(1.5 * LOOK_SECONDS)
        nursery.cancel_scope.cancel(reason="one look is enough")


async def test_what_streams_have_left_is_collected_when_none_lives(
    autojump_clock: MockClock, gone_late: "weakref.ref[_Circle]"
) -> None:
    await look_once(live_streams=0)
    assert gone_late() is None


async def test_while_streams_live_a_little_is_left_where_it_is(
    autojump_clock: MockClock, gone_late: "weakref.ref[_Circle]"
) -> None:
    await look_once(live_streams=1)
    assert gone_late() is not None
    gc.collect()


async def test_python_runs_none_of_its_own_meanwhile_and_does_so_again_afterwards() -> None:
    before = gc.get_threshold()
    assert before[2] < 1000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect_when_due, lambda: 1)
        await trio.testing.wait_all_tasks_blocked()
        assert gc.get_threshold()[:2] == before[:2]
        assert gc.get_threshold()[2] > 1000
        nursery.cancel_scope.cancel(reason="enough seen")
    assert gc.get_threshold() == before


@pytest.mark.parametrize(
    ("rounds", "live_streams", "due"),
    [
        (0, 0, False),
        (1, 0, True),
        (9, 1, False),
        (10, 1, True),
        (149, 300, False),
        (150, 300, True),
    ],
)
def test_one_is_due_when_it_costs_little_beside_what_has_ended(
    rounds: int, live_streams: int, due: bool
) -> None:
    assert is_due(rounds, live_streams) is due
