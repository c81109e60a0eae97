"""How late the harness is, in virtual time and with a loop that is really held up."""

import gc
import time

import trio
from trio.testing import MockClock

from jarvis_trio.storm.lag import BEAT_SECONDS, LoopLag, no_collections


def hold_up(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def test_a_harness_with_nothing_to_do_is_never_late(autojump_clock: MockClock) -> None:
    lag = LoopLag()
    with trio.move_on_after(10 * BEAT_SECONDS):
        await lag.run()
    assert lag.worst_ms < 0.001


async def test_the_longest_that_the_loop_was_held_up_is_known() -> None:
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lag.run)
        await trio.testing.wait_all_tasks_blocked()
        lag.restart()
        hold_up(0.06)
        await trio.sleep(3 * BEAT_SECONDS)
        assert lag.worst_ms >= 50
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_lateness_counts_before_the_loop_is_free_again(nursery: trio.Nursery) -> None:
    lag = LoopLag()
    nursery.start_soon(lag.run)
    await trio.testing.wait_all_tasks_blocked()
    hold_up(0.06)
    assert lag.worst_ms >= 50


async def test_a_restart_forgets_also_what_is_late_right_now(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    lag = LoopLag()
    nursery.start_soon(lag.run)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(5)
    lag.restart()
    await trio.testing.wait_all_tasks_blocked()
    assert lag.worst_ms == 0


async def test_after_a_hold_nothing_is_noted_until_the_restart(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    lag = LoopLag()
    nursery.start_soon(lag.run)
    await trio.testing.wait_all_tasks_blocked()
    lag.hold()
    mock_clock.jump(5)
    assert lag.worst_ms == 0
    lag.restart()
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(1)
    assert lag.worst_ms > 900


def test_the_collector_stays_away_while_something_is_measured() -> None:
    with no_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
