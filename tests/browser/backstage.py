"""A trio run in a thread, for the servers that a test plays while it drives the browser."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import trio

T = TypeVar("T")

WITHIN_SECONDS = 15


class Backstage:
    """What the test's thread may ask of the trio run."""

    def __init__(self, token: trio.lowlevel.TrioToken, nursery: trio.Nursery) -> None:
        self._token = token
        self._nursery = nursery

    def start(self, task: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Start a task there that lives as long as the test; return what it is ready with."""
        start = partial(self._nursery.start, task, *args)
        return trio.from_thread.run(start, trio_token=self._token)

    def do(self, act: Callable[..., T], *args: Any) -> T:
        """Call ``act`` there: the state of the servers is changed in their own thread only."""
        return trio.from_thread.run_sync(act, *args, trio_token=self._token)

    def wait(self, wait: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Await something there, for so long as a test may take for it."""

        async def wait_in_time() -> T:
            with trio.fail_after(WITHIN_SECONDS):
                return await wait(*args)

        return trio.from_thread.run(wait_in_time, trio_token=self._token)

    def end(self) -> None:
        self.do(partial(self._nursery.cancel_scope.cancel, reason="the test is over"))


@contextmanager
def backstage() -> Iterator[Backstage]:
    """Run trio in a thread; an error of what was started there comes out at the end."""
    opened: list[Backstage] = []
    is_open = threading.Event()

    async def stay_open() -> None:
        async with trio.open_nursery() as nursery:
            opened.append(Backstage(trio.lowlevel.current_trio_token(), nursery))
            is_open.set()
            await trio.sleep_forever()

    with ThreadPoolExecutor(1, "backstage") as pool:
        running = pool.submit(trio.run, stay_open)
        is_open.wait()
        try:
            yield opened[0]
        finally:
            if not running.done():
                opened[0].end()
        running.result()
