"""What happened to every chat request, when, and in which order."""

from collections import deque
from itertools import count
from time import monotonic_ns
from typing import Any, Final, Literal

import trio
from msgspec import Struct

from jarvis_trio.storm.sim.asks import Api
from jarvis_trio.storm.sim.watch import PeerWatch

MOST_EVENTS: Final = 100_000
"""Bounds the record: about 20 MB."""
MOST_EXCHANGES: Final = MOST_EVENTS // 4

Kind = Literal["arrival", "first_byte", "finished", "closed", "faulted"]


class Event(Struct, frozen=True):
    """``t_ns`` is CLOCK_MONOTONIC, so it compares with other processes of this machine."""

    marker: str
    kind: Kind
    t_ns: int
    connection: int


class Exchange(Struct, eq=False):
    """One chat request and its answer; times as in `Event`, None for what has not happened.

    It ends once, in one of three ways: ``finished`` (the answer was written to its end),
    ``closed`` (the peer's close was seen first) or ``faulted`` (the sim ended it, as its model's
    name asks, refusals included). ``tokens_after_close`` are made after ``closed``: 0, or the
    sim's own fault.
    """

    marker: str
    api: Api
    model: str
    connection: int
    arrival_ns: int = 0
    first_byte_ns: int | None = None
    closed_ns: int | None = None
    finished_ns: int | None = None
    faulted_ns: int | None = None
    tokens_sent: int = 0
    tokens_after_close: int = 0


class Recording:
    """Keeps the last `MOST_EVENTS` events, in order, and counts.

    Every method is called by the task in which the thing happens, in the same step. Before an
    arrival, and before telling anything, the closes that the kernel knows of are collected: the
    order tells the truth.
    """

    def __init__(self, watch: PeerWatch) -> None:
        self._watch = watch
        self._numbers = count(1)
        self._open: dict[Exchange, bool] = {}
        self._wanted: dict[tuple[str, Kind], trio.Event] = {}
        self.reset()

    def collect(self) -> None:
        """Note every close that the kernel has by now."""
        self._watch.collect()

    def reset(self) -> None:
        """Forget; a chat that is open still counts as open, but leaves no further trace."""
        self.collect()
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._exchanges: deque[Exchange] = deque(maxlen=MOST_EXCHANGES)
        self._counts = dict.fromkeys(("requests", "completed", "aborted", "faulted", "tokens"), 0)
        self._open = dict.fromkeys(self._open, False)
        self._max_open = len(self._open)

    def arrival(self, marker: str | None, api: Api, model: str, connection: int) -> Exchange:
        """Note that a chat request is fully read; without a marker it gets a running number."""
        self.collect()
        exchange = Exchange(marker or str(next(self._numbers)), api, model, connection)
        self._open[exchange] = True
        self._exchanges.append(exchange)
        self._max_open = max(self._max_open, len(self._open))
        exchange.arrival_ns = self._note(exchange, "arrival", "requests")
        return exchange

    def sent(self, exchange: Exchange, tokens: int) -> None:
        """Note that so many more tokens are written."""
        if exchange.closed_ns is not None:
            exchange.tokens_after_close += tokens
        elif exchange.first_byte_ns is None:
            exchange.first_byte_ns = self._note(exchange, "first_byte")
        exchange.tokens_sent += tokens
        if self._open.get(exchange, False):
            self._counts["tokens"] += tokens

    def finished(self, exchange: Exchange) -> None:
        """Note that the answer is written to its end."""
        if exchange in self._open:
            exchange.finished_ns = self._note(exchange, "finished", "completed")
            del self._open[exchange]

    def closed(self, exchange: Exchange) -> None:
        """Note that the peer's close is seen."""
        if exchange in self._open:
            exchange.closed_ns = self._note(exchange, "closed", "aborted")
            del self._open[exchange]

    def faulted(self, exchange: Exchange) -> None:
        """Note that the sim has ended the answer before its end, as asked."""
        if exchange in self._open:
            exchange.faulted_ns = self._note(exchange, "faulted", "faulted")
            del self._open[exchange]

    def models_open(self) -> list[str]:
        """Name the models that answer now, each once."""
        self.collect()
        return sorted({exchange.model for exchange in self._open})

    def events(self) -> list[Event]:
        """List the events, oldest first."""
        self.collect()
        return list(self._events)

    def counts(self) -> dict[str, int]:
        """Count what is open, was open at once, and happened."""
        self.collect()
        return {"open": len(self._open), "max_open": self._max_open} | self._counts

    def stats(self) -> dict[str, Any]:
        """Count, and list every exchange under its marker, oldest first."""
        by_marker: dict[str, list[Exchange]] = {}
        for exchange in self._exchanges:
            by_marker.setdefault(exchange.marker, []).append(exchange)
        return self.counts() | {"by_marker": by_marker}

    async def wait_for(self, marker: str, kind: Kind) -> Event:
        """Wait until there is an event of this kind and marker; give the first remembered."""
        while True:
            for event in self._events:
                if event.marker == marker and event.kind == kind:
                    return event
            await self._wanted.setdefault((marker, kind), trio.Event()).wait()

    def _note(self, exchange: Exchange, kind: Kind, counter: str | None = None) -> int:
        t_ns = monotonic_ns()
        if self._open[exchange]:
            self._events.append(Event(exchange.marker, kind, t_ns, exchange.connection))
            if counter is not None:
                self._counts[counter] += 1
            if (wanted := self._wanted.pop((exchange.marker, kind), None)) is not None:
                wanted.set()
        return t_ns
