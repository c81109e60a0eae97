"""The mock upstream behind the server, as the storm's witness: it tells what arrived and left.

It is ``jarvis-trio sim``, and the server under test is pointed at it. A prompt that holds
``marker:NAME`` is known there by that name, and does what was scripted for it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar

import msgspec
import trio
from msgspec import Struct

from jarvis_trio.storm.call import CALL_ERRORS, Request, calling, in_words
from jarvis_trio.storm.target import Target

Told = TypeVar("Told")
Kind = Literal["arrival", "first_byte", "finished", "closed", "faulted"]

ANSWER_SECONDS = 30.0
"""What is asked it answers at once; the events of a long storm are many."""


class WitnessError(Exception):
    """The mock upstream cannot be reached, or does not answer as one does.

    Nothing can be said of the server then: what it did, nobody has seen.
    """


class Seen(Struct, frozen=True):
    """One thing that happened at the upstream; ``t_ns`` is CLOCK_MONOTONIC."""

    marker: str
    kind: Kind
    t_ns: int
    connection: int


class Exchange(Struct, frozen=True):
    """What became of one request; times in ns, None for what has not happened."""

    marker: str
    arrival_ns: int
    first_byte_ns: int | None
    closed_ns: int | None
    finished_ns: int | None
    faulted_ns: int | None
    tokens_sent: int
    tokens_after_close: int

    @property
    def is_open(self) -> bool:
        """It has not ended in any way."""
        return self.closed_ns is None and self.finished_ns is None and self.faulted_ns is None


class Counts(Struct, frozen=True):
    """What the upstream has counted since it last forgot."""

    open: int
    max_open: int
    requests: int
    tokens: int


class Stats(Counts, frozen=True):
    """The same, and what became of each request."""

    by_marker: dict[str, list[Exchange]]

    def of(self, marker: str) -> list[Exchange]:
        """Return the requests of that prompt, oldest first; more than one were retries."""
        return self.by_marker.get(marker, [])

    def tokens_of(self, marker: str) -> int:
        """Return how many tokens were made for that prompt."""
        return sum(exchange.tokens_sent for exchange in self.of(marker))


class _Events(Struct):
    events: list[Seen]


class Witness:
    """Asks one mock upstream. *Errors:* of every method: WitnessError."""

    def __init__(self, target: Target) -> None:
        self.target = target

    async def script(self, model: str, marker: str | None = None) -> None:
        """Have requests of that marker (None: all others) behave as the model of that name."""
        await self._ask("POST", "/sim/script", {"marker": marker, "model": model})

    async def forget(self) -> None:
        """Begin a new record, with no script and nothing open."""
        await self._ask("POST", "/sim/reset?end=1")

    async def events(self) -> list[Seen]:
        """Return what happened, in order."""
        return (await self._get("/sim/events", _Events)).events

    async def counts(self) -> Counts:
        """Return the counts alone: after thousands of requests, the rest takes its time."""
        return await self._get("/sim/counts", Counts)

    async def stats(self) -> Stats:
        """Return the counts and every request."""
        return await self._get("/sim/stats", Stats)

    async def most_at_once(self, markers: Collection[str]) -> int:
        """Return how many of these prompts were open at the same time, at most."""
        at_once = most = 0
        for event in await self.events():
            if event.marker in markers and event.kind != "first_byte":
                at_once += 1 if event.kind == "arrival" else -1
                most = max(most, at_once)
        return most

    async def wait_for(self, marker: str, kind: Kind) -> Seen:
        """Wait until the upstream has come so far with that request. Callers bound it in time."""
        path = f"/sim/wait?marker={marker}&kind={kind}"
        return self._read(path, await self._wait_for_answer("GET", path), Seen)

    async def _get(self, path: str, kind: type[Told]) -> Told:
        return self._read(path, await self._ask("GET", path), kind)

    def _read(self, path: str, told: bytes, kind: type[Told]) -> Told:
        try:
            return msgspec.json.decode(told, type=kind)
        except msgspec.DecodeError as error:
            raise WitnessError(
                f"{self.target.url}{path} is no mock upstream of this version ({error})"
            ) from error

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        try:
            with trio.fail_after(ANSWER_SECONDS):
                return await self._wait_for_answer(method, path, body)
        except trio.TooSlowError:
            raise WitnessError(
                f"{self.target.url}{path} has not answered for {ANSWER_SECONDS:g} s"
            ) from None

    async def _wait_for_answer(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> bytes:
        sent = b"" if body is None else msgspec.json.encode(body)
        try:
            async with calling(self.target, Request(method, path, sent)) as call:
                await call.rest()
        except CALL_ERRORS as error:
            raise WitnessError(f"{self.target.url} cannot be reached: {in_words(error)}") from error
        if call.status != 200 or not call.is_whole:
            raise WitnessError(
                f"{self.target.url}{path} is no mock upstream of this version (HTTP {call.status})"
            )
        return bytes(call.body)
