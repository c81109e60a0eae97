"""Counters, in a registry of their own per application."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """What an operator counts; ``expose()`` is the body of ``GET /metrics``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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

    def expose(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
