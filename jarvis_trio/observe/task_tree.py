"""The live tree of trio's tasks: what each one waits for, and whether a cancel reaches it.

Everything here only reads, and never through trio's clock or context: any thread may look, also
while the loop is blocked, if it does so with :func:`frames.nothing_collected`. What moves meanwhile
is seen as it was or as it is.
"""

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import trio
from trio.lowlevel import Task

PLUMBING = (str(Path(trio.__file__).parent) + os.sep, contextlib.__file__)
"""Frames that say how something waits, not who: the last one before them tells most."""

MOST_FRAMES = 8
"""Of one stack in one line."""

NAME_WIDTH = 64
"""What is longer than this moves its own line only."""


class Row(NamedTuple):
    """One line of a tree; ``times`` equal ones are shown once."""

    depth: int
    name: str
    state: str = ""
    place: str = ""
    times: int = 1


class Standing(NamedTuple):
    """How a task stands to being cancelled."""

    is_cancelled: bool = False
    is_shielded: bool = False
    is_cancelled_outside: bool = False
    """A cancel waits outside of the shield."""

    def __str__(self) -> str:
        shield = "shielded from a cancel" if self.is_cancelled_outside else "shielded"
        words = ["cancelled"] * self.is_cancelled + [shield] * self.is_shielded
        return ", ".join(words)


def children(task: Task) -> list[Task]:
    """Return the tasks in the nurseries of ``task``."""
    return [child for nursery in task.child_nurseries for child in nursery.child_tasks]


def walk(root: Task) -> Iterator[Task]:
    """Iterate over ``root`` and every task below it."""
    left = [root]
    while left:
        task = left.pop()
        yield task
        left += children(task)


def tree(task: Task, *, without: Collection[Task] = (), depth: int = 0) -> list[Row]:
    """Return the rows of ``task`` and of all below it; equal children are one row with a count."""
    below = Counter(
        tuple(tree(child, without=without, depth=depth + 1))
        for child in children(task)
        if child not in without
    )
    rows = [Row(depth, task.name, str(standing(task)), last_await(task))]
    for (first, *rest), count in sorted(below.items()):
        rows += [first._replace(times=count), *rest]
    return rows


def render(rows: Iterable[Row]) -> str:
    """Return the rows as aligned lines."""
    shown = [
        ("  " * row.depth + row.name + (f" x{row.times}" if row.times > 1 else ""), row)
        for row in rows
    ]
    name_width = max((len(left) for left, _ in shown if len(left) <= NAME_WIDTH), default=0)
    state_width = max((len(row.state) for _, row in shown), default=0)
    return "".join(
        f"{left:<{name_width}}  {row.state:<{state_width}}  {row.place}".rstrip() + "\n"
        for left, row in shown
    )


def in_one_line(task: Task) -> str:
    """Return ``task`` and all below it with their stacks, for one field of a log line."""
    return "; ".join(
        " ".join(filter(None, (one.name, f"({state})" if state else "", join(stack(one)))))
        for one in walk(task)
        for state in [str(standing(one))]
    )


def last_await(task: Task) -> str:
    """Return where ``task`` waits, and inside of what: ``engine/run.py:99 generate in …``."""
    return "running" if is_running(task) else "".join(_stack(task, 1))


def is_running(task: Task) -> bool:
    """Say whether this is the task whose step is being taken."""
    return bool(getattr(task.coro, "cr_running", False))


def stack(task: Task) -> list[str]:
    """Return the places that ``task`` waits at, innermost first, without what only waits."""
    return _stack(task, None)


def _stack(task: Task, most: int | None) -> list[str]:
    frames = list(task.iter_await_frames())[::-1]
    if not frames:  # it has just ended
        return []
    plumbing = [frame.f_code.co_filename.startswith(PLUMBING) for frame, _ in frames]
    telling = [n for n, waits_only in enumerate(plumbing) if not waits_only][:most]
    telling = telling or [len(frames) - 1]
    places = [place(*frames[n]) for n in telling]
    if telling[0] > 0:
        places[0] += f" in {frames[telling[0] - 1][0].f_code.co_qualname}"
    return places


def place(frame: FrameType, line: int | None) -> str:
    """Return ``file:line function``; the file with the folder it is in."""
    code = frame.f_code
    # Between two lines, a running frame has none.
    return f"{_short(code.co_filename)}:{line or code.co_firstlineno} {code.co_qualname}"


@functools.cache
def _short(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


def join(places: list[str]) -> str:
    """Return the innermost places of a stack as one text without line ends."""
    return " < ".join(places[:MOST_FRAMES] + ["…"] * (len(places) > MOST_FRAMES))


def standing(task: Task) -> Standing:
    """Return whether a cancel has reached ``task``, and whether a shield keeps one off.

    trio tells in public only of the scopes that are nurseries, and whoever hangs in a shield does
    so in one that is none. A trio that has no such attributes any more shows less here; a test
    notices. ``CancelScope.cancel_called`` would do harm: it reads the clock and may cancel.
    """
    cancelled = shielded = outside = False
    with contextlib.suppress(AttributeError):
        status: Any = task._cancel_status  # noqa: SLF001 - see above
        cancelled = status is not None and status.effectively_cancelled
        while status is not None:
            outside = outside or (shielded and status.effectively_cancelled)
            shielded = shielded or status._scope.shield  # noqa: SLF001 - see above
            status = status.parent
    return Standing(cancelled, shielded, outside)
