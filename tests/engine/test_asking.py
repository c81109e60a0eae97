"""Asking again: before the first byte, where it is safe, and never for a client that has gone."""

import pytest
import structlog
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.errors import (
    JarvisError,
    UpstreamBusyError,
    UpstreamDownError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import Cause, Text
from tests.engine.engine import LIMITS, Engine
from tests.scripted import Play, Script, words

DOWN = UpstreamDownError("the upstream cannot be reached")


def in_turn(*plays: Play) -> Script:
    """Each attempt has its own play; one more than there are is the test's failure."""
    left = list(plays)
    return lambda _: left.pop(0)


def refusing(error: JarvisError) -> Play:
    return Play(before_accept=[error])


def attempts(engine: Engine) -> int:
    return [what for what, _ in engine.provider.history].count("open")


@pytest.mark.parametrize("error", [DOWN, UpstreamBusyError("loading its model")])
async def test_an_upstream_that_was_not_there_is_asked_again(
    autojump_clock: MockClock, error: JarvisError, logged: structlog.testing.LogCapture
) -> None:
    async with Engine(in_turn(refusing(error), words("a"))).running() as engine:
        assert await engine.send("p").read() == b"<open>[a]<end stop>"
        assert trio.current_time() - engine.started_at == pytest.approx(0.25)
        await engine.assert_nothing_is_left()
    retries = [entry for entry in logged.entries if entry["event"] == "upstream_retry"]
    assert [(entry["attempt"], entry["error"]) for entry in retries] == [(1, error.summary)]


async def test_the_last_attempts_error_is_told(autojump_clock: MockClock) -> None:
    script = in_turn(refusing(DOWN), refusing(UpstreamBusyError("busy")))
    async with Engine(script).running() as engine:
        assert await engine.send("p").read() == b"<open><error upstream_busy>"
        await engine.assert_nothing_is_left()


@pytest.mark.parametrize("retries", [0, 1, 2, 3])
async def test_it_is_asked_so_often_and_ever_more_patiently(
    autojump_clock: MockClock, retries: int
) -> None:
    limits = replace(LIMITS, upstream_retries=retries)
    async with Engine(lambda _: refusing(DOWN), limits).running() as engine:
        assert await engine.send("p").read() == b"<open><error upstream_error>"
        assert attempts(engine) == 1 + retries
        waited = [0, 0.25, 0.75, 1.25][retries]
        assert trio.current_time() - engine.started_at == pytest.approx(waited)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("500"),
        UpstreamRejectedError("400"),
        UpstreamRateLimitError("429", retry_after=0.1),
        UpstreamEOFError("cut off before the answer's head"),
        UpstreamTimeoutError("no connection in time"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_may_have_been_begun_or_will_not_change_is_not_asked_again(
    autojump_clock: MockClock, error: JarvisError
) -> None:
    async with Engine(in_turn(refusing(error))).running() as engine:
        assert await engine.send("p").read() == f"<open><error {error.code}>".encode()
        assert attempts(engine) == 1


async def test_nothing_is_asked_again_once_the_upstream_has_accepted(
    autojump_clock: MockClock,
) -> None:
    async with Engine(in_turn(Play(DOWN))).running() as engine:
        assert await engine.send("p").read() == b"<open><error upstream_error>"
    async with Engine(in_turn(Play(Text("a"), DOWN))).running() as engine:
        assert await engine.send("p").read() == b"<open>[a]<error upstream_error>"


async def test_an_upstream_that_says_when_is_asked_then(autojump_clock: MockClock) -> None:
    busy = UpstreamBusyError("busy", retry_after=0.5)
    async with Engine(in_turn(refusing(busy), words("a"))).running() as engine:
        assert await engine.send("p").read() == b"<open>[a]<end stop>"
        assert trio.current_time() - engine.started_at == pytest.approx(0.5)


async def test_an_upstream_that_wants_more_patience_has_its_answer_passed_on(
    autojump_clock: MockClock,
) -> None:
    busy = UpstreamBusyError("busy", retry_after=1)
    async with Engine(in_turn(refusing(busy))).running() as engine:
        client = engine.send("p")
        await client.read()
        assert client.stream.error is busy
        assert trio.current_time() == engine.started_at


@pytest.mark.parametrize("cause", [Cause.CLIENT_DISCONNECT, Cause.SUPERSEDED, Cause.SHUTDOWN])
async def test_i7_no_attempt_begins_after_the_client_has_gone(
    autojump_clock: MockClock, cause: Cause
) -> None:
    plays = {"A": refusing(DOWN), "B": words("b")}
    limits = replace(LIMITS, upstream_retries=100)
    async with Engine(plays.__getitem__, limits).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        assert attempts(engine) == 1
        match cause:
            case Cause.CLIENT_DISCONNECT:
                client.reader.leave()
            case Cause.SUPERSEDED:
                assert await engine.send("B").read() == b"<open>[b]<end stop>"
            case _:
                await engine.sessions.close()
        await trio.sleep(1000)
        assert [prompt for what, prompt in engine.provider.history if what == "open"].count(
            "A"
        ) == 1
        assert client.stream.cause is cause
        await engine.assert_nothing_is_left()


async def test_the_wait_between_attempts_is_part_of_the_first_tokens_time(
    autojump_clock: MockClock,
) -> None:
    limits = replace(LIMITS, upstream_retries=1000, first_token_timeout_seconds=10)
    async with Engine(lambda _: refusing(DOWN), limits).running() as engine:
        assert await engine.send("p").read() == b"<open><error upstream_timeout>"
        assert trio.current_time() - engine.started_at == pytest.approx(10)
        await engine.assert_nothing_is_left()
