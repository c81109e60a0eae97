"""The window grows while the event loop is late or never waits, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.engine.window import LONGEST_SECONDS, LOOK_SECONDS, Window


@asynccontextmanager
async def fitting(seconds: float, busy: float = 0) -> AsyncIterator[Window]:
    """Fit the window of a loop that uses so much of a core."""
    window = Window(seconds, cpu_seconds=lambda: busy * trio.current_time())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run)  # noqa: ASYNC113 - a look later is soon enough
        yield window
        nursery.cancel_scope.cancel(reason="the test is over")


async def be_late(clock: MockClock, seconds: float, looks: int) -> None:
    """Hold the loop up, as steps that take long do, for so many looks."""
    for _ in range(looks):
        await trio.sleep(LOOK_SECONDS / 2)
        clock.jump(LOOK_SECONDS / 2 + seconds)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_punctual_loop_keeps_the_window_as_it_is_set(autojump_clock: MockClock) -> None:
    async with fitting(0.075) as window:
        await be_late(autojump_clock, 0, looks=100)
        assert window.seconds == 0.075


async def test_a_late_loop_widens_it_to_its_bound_and_a_punctual_one_narrows_it_again(
    autojump_clock: MockClock,
) -> None:
    async with fitting(0.075) as window:
        await be_late(autojump_clock, 0.03, looks=1)
        assert 0.075 < window.seconds < 0.15
        await be_late(autojump_clock, 0.03, looks=20)
        assert window.seconds == LONGEST_SECONDS
        await be_late(autojump_clock, 0, looks=2)
        assert 0.075 < window.seconds < LONGEST_SECONDS
        await be_late(autojump_clock, 0, looks=20)
        assert window.seconds == 0.075


async def test_a_little_late_changes_nothing(autojump_clock: MockClock) -> None:
    async with fitting(0.075) as window:
        await be_late(autojump_clock, 0.03, looks=2)
        wide = window.seconds
        await be_late(autojump_clock, 0.015, looks=20)
        assert window.seconds == wide


async def test_a_loop_that_never_waits_widens_it_though_it_is_punctual(
    autojump_clock: MockClock,
) -> None:
    async with fitting(0.075, busy=0.95) as window:
        await be_late(autojump_clock, 0, looks=20)
        assert window.seconds == LONGEST_SECONDS


async def test_a_busy_loop_keeps_it_as_wide_as_it_is(autojump_clock: MockClock) -> None:
    async with fitting(0.075, busy=0.8) as window:
        await be_late(autojump_clock, 0.03, looks=2)
        wide = window.seconds
        assert wide > 0.075
        await be_late(autojump_clock, 0, looks=20)
        assert window.seconds == wide


@pytest.mark.parametrize("seconds", [0.0, LONGEST_SECONDS, 1.0])
async def test_what_is_longer_than_the_bound_or_nothing_at_all_stays_as_it_is_set(
    autojump_clock: MockClock, seconds: float
) -> None:
    async with fitting(seconds) as window:
        await be_late(autojump_clock, 0.5, looks=20)
        assert window.seconds == seconds
