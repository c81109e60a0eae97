"""Frames of threads that run: read whole, and with no garbage collected meanwhile."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jarvis_trio.observe.frames import frames_of, frames_of_all

DEPTH = 300
"""Calls, and as many objects that are made when they are looked at."""


def call(depth: int, at_the_bottom: Callable[[], object]) -> None:
    if depth:
        call(depth - 1, at_the_bottom)
    else:
        at_the_bottom()


@contextmanager
def deep_thread() -> Iterator[int]:
    """A thread that waits within ``DEPTH`` calls; its ident."""
    is_there, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        is_there.set()
        may_end.wait()

    thread = threading.Thread(target=call, args=(DEPTH, wait))
    thread.start()
    is_there.wait()
    assert thread.ident is not None
    try:
        yield thread.ident
    finally:
        may_end.set()
        thread.join()


@contextmanager
def eager_collector() -> Iterator[list[int]]:
    """Collections at every turn; the threads that they came in."""
    threads: list[int] = []

    def note(phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            threads.append(threading.get_ident())

    thresholds = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(1, 1, 1)
    try:
        yield threads
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(note)


@pytest.mark.parametrize("read", [frames_of, lambda ident: frames_of_all()[ident]])
def test_nothing_is_collected_while_frames_are_read(read: Callable[[int], list[Any]]) -> None:
    with deep_thread() as ident, eager_collector() as collected:
        collected.clear()
        frames = read(ident)
        # Some come before and after.
        assert collected.count(threading.get_ident()) < DEPTH // 10
    names = [frame.f_code.co_name for frame in frames]
    assert names.count("call") == DEPTH + 1
    assert names.index("wait") < names.index("call") < names.index("run")
    assert gc.isenabled()


def test_frames_are_read_as_far_as_the_one_that_was_named() -> None:
    with deep_thread() as ident:
        whole = frames_of(ident)
        assert frames_of(ident, until=whole[-1]) == whole[:-1]


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        frames_of(threading.get_ident())
        assert not gc.isenabled()
    finally:
        gc.enable()
