"""The idle timeout: each scope is cancelled at its own deadline, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from jarvis_trio.engine.idle_timeout import STOOD_STILL_SECONDS, IdleTimeout


@asynccontextmanager
async def running() -> AsyncIterator[IdleTimeout]:
    idle_timeout = IdleTimeout()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(idle_timeout.run)  # noqa: ASYNC113 - a step later is soon enough
        yield idle_timeout
        nursery.cancel_scope.cancel(reason="enough seen")


async def cancelled_at(idle_timeout: IdleTimeout, *deadlines: float) -> float:
    """Wait in a scope that is given these deadlines, one a second."""
    with trio.CancelScope() as scope:
        for deadline in deadlines:
            idle_timeout.begin(scope, deadline)
            await trio.sleep(1)
        await trio.sleep_forever()
    return trio.current_time()


async def test_a_scope_is_cancelled_at_the_last_deadline_it_was_given(
    autojump_clock: MockClock,
) -> None:
    async with running() as idle_timeout:
        assert await cancelled_at(idle_timeout, 1.5, 2.5, 7.25) == 7.25


async def test_each_is_cancelled_at_its_own_whichever_began_first(
    autojump_clock: MockClock,
) -> None:
    ends: dict[float, float] = {}

    async def note(idle_timeout: IdleTimeout, deadline: float) -> None:
        ends[deadline] = await cancelled_at(idle_timeout, deadline)

    async with running() as idle_timeout, trio.open_nursery() as nursery:
        for deadline in (5.0, 2.0, 9.0, 3.0, 3.0):
            nursery.start_soon(note, idle_timeout, deadline)
            await trio.sleep(0.1)
    assert ends == {deadline: deadline for deadline in ends}
    assert len(ends) == 4


async def test_one_that_has_stopped_is_let_be_and_not_kept(autojump_clock: MockClock) -> None:
    async with running() as idle_timeout:
        with trio.CancelScope() as scope:
            idle_timeout.begin(scope, 3.0)
            idle_timeout.stop(scope)
            idle_timeout.stop(scope)
            assert not idle_timeout._ends
            await trio.sleep(10)
        assert not scope.cancelled_caught


async def test_one_that_is_cancelled_is_not_kept(autojump_clock: MockClock) -> None:
    async with running() as idle_timeout:
        await cancelled_at(idle_timeout, 3.0)
        assert not idle_timeout._ends


async def test_time_in_which_the_process_stood_still_does_not_count(
    autojump_clock: MockClock,
) -> None:
    async with running() as idle_timeout:
        with trio.CancelScope() as scope:
            idle_timeout.begin(scope, 60.0)
            await trio.sleep(30)
            autojump_clock.jump(1000)
            await trio.sleep(0.5)
            assert not scope.cancel_called
            await trio.sleep_forever()
        assert trio.current_time() == 1030 + STOOD_STILL_SECONDS


async def test_the_task_sleeps_until_there_is_something_to_do(autojump_clock: MockClock) -> None:
    looks = 0

    class Steps(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal looks
            looks += task.name.endswith("IdleTimeout.run")

    async with running() as idle_timeout:
        trio.lowlevel.add_instrument(Steps())
        with trio.CancelScope() as scope:
            for now in range(100):
                idle_timeout.begin(scope, now + 60.0)
                await trio.sleep(1)
        idle_timeout.stop(scope)
    assert looks < 10
