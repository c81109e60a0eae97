"""Counters, in a registry of their own per application."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from jarvis_trio.events import Cause

CANCEL_BOUNDS_MS: Final = (0.5, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000)
"""The last one is the cleanup time as it is by default: what took longer was quarantined."""


class Totals(Struct, frozen=True, kw_only=True):
    """What was counted since the start; ``begun`` less all that ``ended`` is what lives."""

    begun: int
    ended: dict[Cause, int]
    quarantined: int
    retries: int
    events_dropped: int
    history_lost: int
    loop_blocked: int


class CancelLatency(Struct, frozen=True):
    """How many cancels took at most each of ``bounds_ms``, and more than the one before.

    ``counts`` has one more: those that took longer than all.
    """

    bounds_ms: tuple[float, ...]
    counts: list[int]


class Metrics:
    """What an operator counts; ``expose()`` is the body of ``GET /metrics``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.begun = Counter(
            "jarvis_streams_begun",
            "Prompts that were accepted: each is a stream.",
            registry=self.registry,
        )
        self.ended = Counter(
            "jarvis_streams_ended",
            "Streams that ended, by cause.",
            ["cause"],
            registry=self.registry,
        )
        self.quarantined = Counter(
            "jarvis_streams_quarantined",
            "Streams whose cleanup overran its time and that lost their session.",
            registry=self.registry,
        )
        self.loop_blocked = Counter(
            "jarvis_loop_blocked",
            "Steps of a task that held the event loop up for over 100 ms.",
            registry=self.registry,
        )
        self.history_lost = Counter(
            "jarvis_history_lost",
            "Writes of conversations that the store refused, or that were too many to wait for it.",
            registry=self.registry,
        )
        self._cancel = Histogram(
            "jarvis_cancel_seconds",
            "From the cancel of an answer until its tasks are gone and the model server is left.",
            buckets=[bound / 1000 for bound in CANCEL_BOUNDS_MS],
            registry=self.registry,
        )
        self._retries = Counter(
            "jarvis_upstream_retries",
            "Attempts at a model server that was asked again.",
            registry=self.registry,
        )
        self._events_dropped = Counter(
            "jarvis_events_dropped",
            "Events that subscribers in this process were too slow for.",
            registry=self.registry,
        )
        self._live = Gauge(
            "jarvis_streams_live",
            "Streams that have not unwound yet.",
            registry=self.registry,
        )
        self._queued = Gauge(
            "jarvis_streams_queued",
            "Streams that wait for their turn at the model server.",
            registry=self.registry,
        )
        self._window = Gauge(
            "jarvis_flush_window_seconds",
            "How long text waits at most: as set, or longer while the event loop is late.",
            registry=self.registry,
        )
        self._unwritten = Gauge(
            "jarvis_history_waiting",
            "Writes of conversations that wait for the store.",
            registry=self.registry,
        )

    def watch(
        self,
        *,
        live: Callable[[], int],
        queued: Callable[[], int],
        window: Callable[[], float],
        unwritten: Callable[[], int],
    ) -> None:
        """Read these numbers whenever they are asked for."""
        self._live.set_function(live)
        self._queued.set_function(queued)
        self._window.set_function(window)
        self._unwritten.set_function(unwritten)

    def count_end(
        self, cause: Cause, cancel_seconds: float | None, *, retries: int, events_dropped: int
    ) -> None:
        """Count one stream, which is gone; ``cancel_seconds`` None where none was cut short."""
        self.ended.labels(cause=cause).inc()
        if cancel_seconds is not None:
            self._cancel.observe(cancel_seconds)
        self._retries.inc(retries)
        self._events_dropped.inc(events_dropped)

    def totals(self) -> Totals:
        """Return what was counted."""
        ended = {sample.labels["cause"]: sample.value for sample in _samples(self.ended, "_total")}
        return Totals(
            begun=_value(self.begun),
            ended={cause: int(ended.get(cause, 0)) for cause in Cause},
            quarantined=_value(self.quarantined),
            retries=_value(self._retries),
            events_dropped=_value(self._events_dropped),
            history_lost=_value(self.history_lost),
            loop_blocked=_value(self.loop_blocked),
        )

    def cancel_latency(self) -> CancelLatency:
        """Return how long cancels took."""
        up_to = [int(sample.value) for sample in _samples(self._cancel, "_bucket")]
        counts = [after - before for before, after in pairwise([0, *up_to])]
        return CancelLatency(CANCEL_BOUNDS_MS, counts)

    def expose(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def _samples(metric: Collector, suffix: str) -> list[Sample]:
    return [
        sample
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith(suffix)
    ]


def _value(counter: Counter) -> int:
    (total,) = _samples(counter, "_total")
    return int(total.value)
