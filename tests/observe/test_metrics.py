"""Metrics: what an operator counts, per application."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.errors import UpstreamDownError, UpstreamEOFError
from jarvis_trio.events import Cause, Text
from jarvis_trio.observe.metrics import Metrics
from tests.engine.engine import Engine
from tests.scripted import Play, words


def lines_of(metrics: Metrics, name: str) -> list[str]:
    return [line for line in metrics.expose().decode().splitlines() if line.startswith(name)]


def test_two_applications_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.quarantined.inc()
    assert lines_of(first, "jarvis_streams_quarantined_total") == [
        "jarvis_streams_quarantined_total 1.0"
    ]
    assert lines_of(second, "jarvis_streams_quarantined_total") == [
        "jarvis_streams_quarantined_total 0.0"
    ]


def test_the_live_streams_are_counted_when_they_are_asked_for() -> None:
    metrics = Metrics()
    live = [3]
    metrics.watch(live=lambda: live[0], queued=lambda: 2, window=lambda: 0.075, unwritten=lambda: 5)
    assert lines_of(metrics, "jarvis_streams_live") == ["jarvis_streams_live 3.0"]
    live[0] = 0
    assert lines_of(metrics, "jarvis_streams_live") == ["jarvis_streams_live 0.0"]
    assert lines_of(metrics, "jarvis_history_waiting") == ["jarvis_history_waiting 5.0"]
    assert lines_of(metrics, "jarvis_flush_window_seconds") == ["jarvis_flush_window_seconds 0.075"]


@pytest.mark.parametrize("cause", [Cause.COMPLETED, Cause.UPSTREAM_EOF, Cause.STOPPED])
async def test_every_stream_is_counted_once_under_its_cause(
    autojump_clock: MockClock, cause: Cause
) -> None:
    play = {
        Cause.COMPLETED: words("a"),
        Cause.UPSTREAM_EOF: Play(Text("a"), UpstreamEOFError("cut")),
        Cause.STOPPED: Play(Text("a"), trio.Event()),
    }[cause]
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        client.stream.cancel(Cause.STOPPED)
        await client.stream.finished.wait()
        assert lines_of(engine.metrics, "jarvis_streams_ended_total") == [
            f'jarvis_streams_ended_total{{cause="{cause}"}} 1.0'
        ]


async def test_a_cancel_is_measured_until_the_upstream_is_left_and_nothing_else_is(
    autojump_clock: MockClock,
) -> None:
    """One that never began has no upstream to leave; one that ends by itself was not cancelled.

    The first cancel counts: a later prompt hurries nobody who is unwinding already.
    """
    plays = {
        "A": Play(Text("a"), trio.Event(), close_takes_seconds=0.3),
        "B": Play(Text("b"), trio.Event()),
        "C": words("c"),
    }
    async with Engine(plays.__getitem__).running() as engine:
        engine.send("A")
        await wait_all_tasks_blocked()
        engine.send("B")  # waits, and is superseded before it began
        await trio.sleep(0.1)
        assert await engine.send("C").read() == b"<open>[c]<end stop>"
        await engine.assert_nothing_is_left()
    assert lines_of(engine.metrics, "jarvis_cancel_seconds_count") == [
        "jarvis_cancel_seconds_count 1.0"
    ]
    assert lines_of(engine.metrics, "jarvis_cancel_seconds_sum") == [
        "jarvis_cancel_seconds_sum 0.3"
    ]
    latency = engine.metrics.cancel_latency()
    assert dict(zip(latency.bounds_ms, latency.counts, strict=False))[500] == 1
    assert sum(latency.counts) == 1


async def test_what_lives_is_what_has_begun_and_not_ended(autojump_clock: MockClock) -> None:
    async with Engine(lambda _: Play(Text("a"), trio.Event())).running() as engine:
        engine.send("A")
        engine.send("B")
        await wait_all_tasks_blocked()
        totals = engine.metrics.totals()
        assert (totals.begun, totals.ended[Cause.SUPERSEDED]) == (2, 1)
        assert sum(totals.ended.values()) == 1


async def test_an_upstream_that_was_asked_again_is_counted_and_a_wait_for_it_is_not(
    autojump_clock: MockClock,
) -> None:
    plays = [Play(before_accept=[UpstreamDownError("down")]) for _ in range(3)]
    async with Engine(lambda _: plays.pop()).running() as engine:
        client = engine.send("A")
        await client.read()
        assert client.stream.retries == 1
        impatient = engine.send("B")
        await trio.sleep(0.1)
        impatient.reader.leave()
        await impatient.stream.finished.wait()
    assert engine.metrics.totals().retries == 1
