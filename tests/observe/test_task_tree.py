"""The task tree: who waits where, whom a cancel reaches, and that looking disturbs nobody."""

import contextlib
import threading
from typing import Any, cast

import pytest
import trio
from trio.lowlevel import Task
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.observe.task_tree import (
    MOST_FRAMES,
    Row,
    Standing,
    in_one_line,
    join,
    last_await,
    render,
    stack,
    standing,
    tree,
    walk,
)

SHIELD_SECONDS = 30
"""A test that fails must not hang."""


async def wait_for(event: trio.Event) -> None:
    await event.wait()


async def wait_shielded(event: trio.Event) -> None:
    with trio.move_on_after(SHIELD_SECONDS, shield=True):
        await event.wait()


async def hold(event: trio.Event, scope: trio.CancelScope) -> None:
    """Wait, in a scope, for a child that shields itself."""
    with scope:
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - the child is what is seen
            nursery.start_soon(wait_shielded, event, name="child")


def here() -> Task:
    return trio.lowlevel.current_task()


def named(name: str) -> Task:
    (found,) = [task for task in walk(here()) if task.name == name]
    return found


def shape() -> list[tuple[int, str, str, int]]:
    return [(row.depth, row.name, row.state, row.times) for row in tree(here())[1:]]


async def test_tasks_are_shown_below_the_task_whose_nursery_they_are_in(
    autojump_clock: MockClock,
) -> None:
    event, scope = trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as outer, trio.open_nursery() as inner:
        outer.start_soon(hold, event, scope, name="a")
        inner.start_soon(wait_for, event, name="b")
        await wait_all_tasks_blocked()
        assert shape() == [(1, "a", "", 1), (2, "child", "shielded", 1), (1, "b", "", 1)]
        event.set()


async def test_what_a_cancel_reaches_is_cancelled_and_what_it_does_not_is_shielded_from_it(
    autojump_clock: MockClock,
) -> None:
    """Part of it trio keeps to itself: a trio that renames it fails here."""
    event, scope = trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, event, scope, name="parent")
        await wait_all_tasks_blocked()
        assert standing(named("parent")) == Standing()
        assert standing(named("child")) == Standing(is_shielded=True)
        scope.cancel(reason="test")
        await wait_all_tasks_blocked()
        assert standing(named("parent")) == Standing(is_cancelled=True)
        assert standing(named("child")) == Standing(is_shielded=True, is_cancelled_outside=True)
        assert shape() == [(1, "parent", "cancelled", 1), (2, "child", "shielded from a cancel", 1)]
        event.set()


async def test_a_cancel_inside_of_a_shield_is_told_with_it(autojump_clock: MockClock) -> None:
    with trio.CancelScope(shield=True) as scope:
        scope.cancel(reason="test")
        assert str(standing(here())) == "cancelled, shielded"
        await trio.lowlevel.checkpoint()


def test_a_trio_that_keeps_it_elsewhere_shows_less() -> None:
    assert standing(cast("Task", object())) == Standing()


async def test_a_task_is_told_by_its_own_line_and_what_it_waits_in(
    autojump_clock: MockClock,
) -> None:
    @contextlib.asynccontextmanager
    async def opened() -> Any:
        await receive.receive()
        yield

    async def enter() -> None:
        with pytest.raises(trio.EndOfChannel):
            async with opened():
                pass

    send, receive = trio.open_memory_channel[None](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter, name="enter")
        await wait_all_tasks_blocked()
        told = last_await(named("enter"))
        assert told.startswith("observe/test_task_tree.py:")
        assert told.endswith(".opened in MemoryReceiveChannel.receive")
        innermost, outer = stack(named("enter"))
        assert innermost == told
        assert outer.endswith(".enter")
        send.close()


async def test_the_task_that_takes_a_step_is_running(autojump_clock: MockClock) -> None:
    assert last_await(here()) == "running"


async def test_a_task_that_has_not_begun_or_is_trios_own_has_a_place_too(
    autojump_clock: MockClock,
) -> None:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    assert last_await(root).endswith("in NurseryManager.__aexit__")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for, trio.Event(), name="new")
        assert last_await(named("new")).endswith(" wait_for")
        nursery.cancel_scope.cancel(reason="test")


async def test_equal_siblings_are_counted_with_all_that_is_below_them(
    autojump_clock: MockClock,
) -> None:
    event, other = trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(hold, event, trio.CancelScope(), name="connection")
        nursery.start_soon(hold, event, other, name="connection")
        await wait_all_tasks_blocked()
        other.cancel(reason="test")
        assert shape() == [
            (1, "connection", "", 300),
            (2, "child", "shielded", 1),
            (1, "connection", "cancelled", 1),
            (2, "child", "shielded from a cancel", 1),
        ]
        assert "  connection x300  " in render(tree(here()))
        event.set()


async def test_a_subtree_that_is_shown_elsewhere_is_left_out(autojump_clock: MockClock) -> None:
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, event, trio.CancelScope(), name="stream")
        nursery.start_soon(wait_for, event, name="other")
        await wait_all_tasks_blocked()
        rows = tree(here(), without={named("stream")})
        assert [row.name for row in rows[1:]] == ["other"]
        event.set()


async def test_another_thread_sees_the_tree_while_the_loop_is_blocked() -> None:
    """And touches no deadline: whose time has come is the loop's to say."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    rows: list[Row] = []
    looked = threading.Event()

    def look() -> None:
        rows.extend(tree(root))
        looked.set()

    scope = trio.CancelScope(deadline=trio.current_time())
    event = trio.Event()
    thread = threading.Thread(target=look)
    async with trio.open_nursery() as nursery:
        for _ in range(600):
            nursery.start_soon(wait_for, event, name="sleeper")
        nursery.start_soon(hold, event, trio.CancelScope(), name="parent")
        await wait_all_tasks_blocked()
        with scope:
            thread.start()
            assert looked.wait(10)
        thread.join()
        event.set()
    by_name = {row.name: row for row in rows}
    assert by_name["sleeper"].times == 600
    assert by_name["child"].state == "shielded"
    assert by_name[here().name].place == "running"


async def test_one_line_names_every_task_with_its_stack(autojump_clock: MockClock) -> None:
    event, scope = trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, event, scope, name="parent")
        await wait_all_tasks_blocked()
        scope.cancel(reason="test")
        parent, child = in_one_line(named("parent")).split("; ")
        assert parent.startswith("parent (cancelled) observe/test_task_tree.py:")
        assert child.startswith("child (shielded from a cancel) observe/test_task_tree.py:")
        assert child.endswith(" wait_shielded in Event.wait")
        event.set()


def test_a_deep_stack_is_cut_at_its_outer_end() -> None:
    places = [f"f.py:{n} f" for n in range(MOST_FRAMES + 1)]
    assert join(places).split(" < ") == [*places[:MOST_FRAMES], "…"]
    assert join(places[:2]) == "f.py:0 f < f.py:1 f"


def test_rows_are_aligned_and_a_long_name_moves_its_own_line_only() -> None:
    rows = [Row(0, "a", "cancelled", "x"), Row(1, "bc", "", "y"), Row(0, "n" * 100, "", "z")]
    first, second, third = render(rows).splitlines()
    assert first == "a     cancelled  x"
    assert second == "  bc             y"
    assert third == "n" * 100 + "             z"
