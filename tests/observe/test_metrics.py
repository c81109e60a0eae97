"""Metrics: what an operator counts, per application."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.errors import UpstreamEOFError
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
