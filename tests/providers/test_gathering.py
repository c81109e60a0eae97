"""Waits for what gathers in socket buffers, over real sockets."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.providers.gathering import GRID_SECONDS, MUCH_BYTES, Gatherer, Gathering

LONG_SECONDS = 60


@asynccontextmanager
async def running() -> AsyncIterator[Gathering]:
    gathering = Gathering()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gathering.run)  # noqa: ASYNC113 - the next line waits
        await wait_all_tasks_blocked()
        yield gathering
        nursery.cancel_scope.cancel(reason="the test is over")


class Pair:
    """A connection over TCP: ours gathers what theirs sends."""

    def __init__(self, gathering: Gathering) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.theirs = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
        accepted.setblocking(False)
        self.ours = trio.socket.from_stdlib_socket(accepted)
        self.gathering = gathering
        self.gatherer: Gatherer = gathering.add(self.ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.gathering.remove(self.ours)
        self.ours.close()
        self.theirs.close()

    async def wait(self, seconds: float = LONG_SECONDS) -> float:
        """Wait, and return how long it took."""
        began = trio.current_time()
        await self.gathering.wait(self.gatherer, seconds)
        return trio.current_time() - began


async def test_a_wait_ends_on_the_last_line_of_the_grid_that_is_not_too_late(
    autojump_clock: MockClock,
) -> None:
    async with running() as gathering:
        with Pair(gathering) as pair:
            for seconds in (0.075, 0.0751, 0.25, 0.05):
                await trio.sleep(0.001)
                assert seconds - GRID_SECONDS < await pair.wait(seconds) <= seconds + 1e-9


async def test_waits_behind_each_other_last_as_long_as_the_grid_allows(
    autojump_clock: MockClock,
) -> None:
    async with running() as gathering:
        with Pair(gathering) as pair:
            await trio.sleep(0.011)
            await pair.wait(0.075)
            for _ in range(5):
                await trio.sleep(0.001)
                assert await pair.wait(0.075) == pytest.approx(0.074)


@pytest.mark.parametrize("seconds", [0.03, 0.001, 0.0])
async def test_a_wait_that_is_short_lasts_for_half_its_time_at_least(
    autojump_clock: MockClock, seconds: float
) -> None:
    async with running() as gathering:
        with Pair(gathering) as pair:
            assert seconds / 2 - 1e-9 <= await pair.wait(seconds) <= seconds + 1e-9


async def test_waits_that_begin_in_any_order_end_in_that_of_their_times(
    autojump_clock: MockClock,
) -> None:
    ended: list[float] = []

    async def wait(pair: Pair, seconds: float) -> None:
        await pair.wait(seconds)
        ended.append(seconds)

    async with running() as gathering:
        with Pair(gathering) as one, Pair(gathering) as two, Pair(gathering) as three:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, one, 0.2)
                await wait_all_tasks_blocked()
                nursery.start_soon(wait, two, 0.1)
                await wait_all_tasks_blocked()
                nursery.start_soon(wait, three, 0.3)
    assert ended == [0.1, 0.2, 0.3]


async def test_a_little_that_comes_does_not_end_a_wait_and_is_there_behind_it() -> None:
    async with running() as gathering:
        with trio.fail_after(10), Pair(gathering) as pair:
            pair.theirs.sendall(b"x" * 200)
            assert await pair.wait(0.1) > 0.1 - GRID_SECONDS
            assert await pair.ours.recv(1000) == b"x" * 200


@pytest.mark.parametrize("before", [True, False])
async def test_much_that_comes_ends_a_wait(before: bool) -> None:
    async with running() as gathering:
        with trio.fail_after(10), Pair(gathering) as pair:
            async with trio.open_nursery() as nursery:
                if not before:
                    nursery.start_soon(pair.wait)
                    await wait_all_tasks_blocked()
                pair.theirs.sendall(b"x" * MUCH_BYTES)
                if before:
                    nursery.start_soon(pair.wait)


@pytest.mark.parametrize("with_bytes", [b"", b"the last words"])
@pytest.mark.parametrize("reset", [True, False])
async def test_the_end_of_a_connection_ends_a_wait_and_all_later_ones(
    with_bytes: bytes, reset: bool
) -> None:
    async with running() as gathering:
        with trio.fail_after(10), Pair(gathering) as pair:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pair.wait)
                await wait_all_tasks_blocked()
                pair.theirs.sendall(with_bytes)
                if reset:
                    pair.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                pair.theirs.close()
            await pair.wait()
            await pair.wait()


async def test_an_end_that_comes_while_nobody_waits_is_not_forgotten() -> None:
    async with running() as gathering:
        with trio.fail_after(10), Pair(gathering) as pair:
            await pair.wait(0)
            pair.theirs.close()
            await wait_all_tasks_blocked(0.01)
            await pair.wait()


async def test_a_wait_that_is_cancelled_leaves_the_next_one_its_whole_time(
    autojump_clock: MockClock,
) -> None:
    async with running() as gathering:
        with Pair(gathering) as pair:
            with trio.move_on_after(0.05):
                await pair.wait(0.1)
            assert await pair.wait(0.21) > 0.21 - GRID_SECONDS


async def test_a_wait_that_was_cancelled_wakes_nobody_at_its_time(
    autojump_clock: MockClock,
) -> None:
    async with running() as gathering:
        with Pair(gathering) as pair:
            with trio.move_on_after(0.05):
                await pair.wait(0.1)
            began = trio.current_time()
            await trio.sleep(1)
            assert trio.current_time() - began == pytest.approx(1)


@pytest.mark.parametrize("closes", [True, False])
async def test_a_socket_that_was_removed_and_stays_open_is_nobodys_affair(closes: bool) -> None:
    async with running() as gathering:
        with trio.fail_after(10), Pair(gathering) as pair, Pair(gathering) as other:
            gathering.remove(pair.ours)
            gathering.remove(pair.ours)
            if closes:
                pair.theirs.close()
            else:
                pair.theirs.sendall(b"x" * MUCH_BYTES)
            assert await other.wait(0.05) > 0.05 - GRID_SECONDS


async def test_a_socket_that_was_removed_wakes_nobody_who_has_its_number_next() -> None:
    async with running() as gathering:
        with trio.fail_after(10):
            first = Pair(gathering)
            with first:
                number = first.ours.fileno()
                first.theirs.close()
            with Pair(gathering) as second:
                assert number in (second.ours.fileno(), second.theirs.fileno())
                assert await second.wait(0.05) > 0.05 - GRID_SECONDS


async def test_a_socket_can_be_told_to_speak_of_every_byte() -> None:
    """As whoever waits for the next byte, however long, has to."""
    async with running() as gathering:
        with trio.fail_after(10), Pair(gathering) as pair:
            await pair.wait(0)
            pair.gatherer.wake_at(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pair.ours.recv, 10)
                await wait_all_tasks_blocked()
                pair.theirs.sendall(b"x")


async def test_where_nobody_gathers_a_wait_is_a_sleep(autojump_clock: MockClock) -> None:
    with Pair(Gathering()) as pair:
        assert await pair.wait(0.1) == pytest.approx(0.1)
