"""The watchdog: it names a step that blocks the loop while it does, and nothing else.

In real time, since a thread looks; what blocks does so until it has been told of.
"""

import ctypes
import gc
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from trio.testing import MockClock

from jarvis_trio.observe.watchdog import BLOCKED_SECONDS, LOOK_AGAIN_SECONDS, Watchdog
from tests.web.server import serving

pytestmark = pytest.mark.alone

Entries = list[Any]
ENDS_WITHIN_SECONDS = 20


@asynccontextmanager
async def watched() -> AsyncIterator[threading.Event]:
    """Run the watchdog; the event is set when it has told of a step that blocks."""
    told = threading.Event()
    with trio.fail_after(ENDS_WITHIN_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Watchdog(told.set).run)  # noqa: ASYNC113 - the next line waits
            await trio.testing.wait_all_tasks_blocked()
            yield told
            nursery.cancel_scope.cancel(reason="enough seen")


async def take_a_step(step: Callable[..., Awaitable[None]], *args: Any, name: str) -> None:
    async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - a task of its own has a name
        nursery.start_soon(step, *args, name=name)


async def block_until(told: threading.Event) -> None:
    assert told.wait(ENDS_WITHIN_SECONDS)
    threading.Event().wait(10 * LOOK_AGAIN_SECONDS)  # it is looked at again, and told of once


async def test_a_step_that_does_not_end_is_named_while_it_lasts_and_when_it_is_over(
    logged: structlog.testing.LogCapture,
) -> None:
    async with watched() as told:
        await take_a_step(block_until, told, name="culprit")
    blocked, unblocked = logged.entries
    assert (blocked["event"], blocked["log_level"]) == ("loop_blocked", "warning")
    assert blocked["task"] == unblocked["task"] == "culprit"
    assert " < observe/test_watchdog.py:" in blocked["stack"]
    assert blocked["stack"].endswith(" block_until")
    assert unblocked["event"] == "loop_unblocked"
    assert BLOCKED_SECONDS * 1000 <= blocked["ms"] <= unblocked["ms"]


async def test_two_steps_are_two(logged: structlog.testing.LogCapture) -> None:
    async with watched() as told:
        for name in ("one", "two"):
            await take_a_step(block_until, told, name=name)
            told.clear()
    entries: Entries = logged.entries
    assert [entry["task"] for entry in entries] == ["one", "one", "two", "two"]


async def test_a_round_of_many_short_steps_is_nobodys_fault(
    logged: structlog.testing.LogCapture,
) -> None:
    """But for ``watched=False``: a busy machine may not let the thread look."""

    async def work_a_little() -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

    async with watched(), trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(work_a_little)
    assert not [e for e in logged.entries if e["event"] == "loop_blocked" and e["watched"] is None]


async def test_the_steps_of_one_task_are_not_added_up(
    logged: structlog.testing.LogCapture,
) -> None:
    async def work_on() -> None:
        for _ in range(10):
            threading.Event().wait(0.04)
            await trio.lowlevel.checkpoint()

    async with watched():
        await take_a_step(work_on, name="diligent")
    assert not [e for e in logged.entries if e["event"] == "loop_blocked" and e["watched"] is None]


async def test_a_loop_that_waits_is_not_blocked(logged: structlog.testing.LogCapture) -> None:
    async with watched():
        await trio.sleep(4 * BLOCKED_SECONDS)
    assert not logged.entries


async def test_a_step_that_holds_the_interpreter_is_told_of_when_it_is_over(
    logged: structlog.testing.LogCapture,
) -> None:
    async def hold_the_interpreter() -> None:
        ctypes.PyDLL(None).usleep(300_000)

    async with watched():
        await take_a_step(hold_the_interpreter, name="culprit")
    blocked, unblocked = logged.entries
    assert blocked["watched"] is False
    assert blocked["task"] == unblocked["task"] == "culprit"
    assert blocked["stack"].endswith(".hold_the_interpreter")
    assert blocked["ms"] >= BLOCKED_SECONDS * 1000


async def test_a_garbage_collection_is_nobodys_step(logged: structlog.testing.LogCapture) -> None:
    def linger(phase: str, _: dict[str, int]) -> None:
        if phase == "stop":
            ctypes.PyDLL(None).usleep(300_000)

    gc.callbacks.insert(0, linger)
    try:
        async with watched() as told:

            async def collect() -> None:
                gc.collect()

            await take_a_step(collect, name="innocent")
            await trio.to_thread.run_sync(told.wait)
    finally:
        gc.callbacks.remove(linger)
    blocked = [entry for entry in logged.entries if entry["event"] == "loop_blocked"]
    assert [entry["task"] for entry in blocked] == ["garbage collection"]


async def test_nothing_of_it_stays_behind() -> None:
    watchdog = Watchdog(lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        await trio.testing.wait_all_tasks_blocked()
        assert "watchdog" in [thread.name for thread in threading.enumerate()]
        nursery.cancel_scope.cancel(reason="enough seen")
    assert "watchdog" not in [thread.name for thread in threading.enumerate()]
    beat = watchdog._pulse.beat
    await trio.lowlevel.checkpoint()
    assert watchdog._pulse.beat == beat


async def test_it_can_be_run_in_virtual_time(autojump_clock: MockClock) -> None:
    async with watched():
        await trio.sleep(3)


async def test_a_server_tells_once_of_what_blocks_it_and_counts_it(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    def blocked(**by: str) -> Entries:
        told = by | {"event": "loop_blocked"}
        return [entry for entry in logged.entries if told.items() <= entry.items()]

    async def block() -> None:
        ends_at = time.monotonic() + ENDS_WITHIN_SECONDS
        while not blocked(task="culprit"):
            assert time.monotonic() < ends_at
            threading.Event().wait(LOOK_AGAIN_SECONDS)
        threading.Event().wait(10 * LOOK_AGAIN_SECONDS)  # it is looked at again, and told of once

    async with serving() as server:
        await take_a_step(block, name="culprit")
        (told,) = blocked(task="culprit")
        assert told["ms"] >= BLOCKED_SECONDS * 1000
        # A machine that is busy enough blocks more than we do.
        assert await server.metric("jarvis_loop_blocked_total") == len(blocked())
