"""How long the built-in model is left alone between two reads, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.events import ChatRequest, Finish, Message
from jarvis_trio.providers.simulated import (
    MAX_TOKENS_PER_RECEIVE,
    SimulatedAnswer,
    SimulatedOptions,
    SimulatedProvider,
)

LONG_SECONDS = 600


@asynccontextmanager
async def answering(length: int) -> AsyncIterator[SimulatedAnswer]:
    """Give an answer of ten tokens a second, whose first has been received."""
    options = SimulatedOptions(tokens_per_second=10, first_token_ms=0, length=length)
    request = ChatRequest(messages=(Message("user", "hi"),))
    with trio.fail_after(LONG_SECONDS / 2):
        async with SimulatedProvider(options).chat(request) as answer:
            assert len(await answer.receive()) == 1
            yield answer


async def test_a_window_lasts_as_long_as_it_is_asked_to(autojump_clock: MockClock) -> None:
    async with answering(100) as answer:
        for window in range(1, 4):
            await answer.gather(0.25)
            assert trio.current_time() - answer._first_due == pytest.approx(0.25 * window)
        assert len(answer.receive_nowait()) == 7  # those due at 0.1, 0.2, …, 0.7
        assert answer.receive_nowait() == []


async def test_a_window_ends_when_the_last_token_is_due(autojump_clock: MockClock) -> None:
    async with answering(6) as answer:
        await answer.gather(LONG_SECONDS)
        assert trio.current_time() - answer._first_due == pytest.approx(0.5)
        assert len(await answer.receive()) == 5
        await answer.gather(LONG_SECONDS)
        assert (await answer.receive())[0] == Finish("stop")


async def test_a_window_ends_when_a_receive_has_all_that_it_can_bring(
    autojump_clock: MockClock,
) -> None:
    async with answering(200) as answer:
        await answer.gather(LONG_SECONDS)
        due = MAX_TOKENS_PER_RECEIVE / 10
        assert trio.current_time() - answer._first_due == pytest.approx(due)
        assert len(await answer.receive()) == MAX_TOKENS_PER_RECEIVE


async def test_a_window_that_is_cancelled_has_taken_nothing(autojump_clock: MockClock) -> None:
    async with answering(100) as answer:
        with trio.move_on_after(0.35):
            await answer.gather(1)
        assert len(answer.receive_nowait()) == 3
