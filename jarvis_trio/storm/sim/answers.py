"""Makes one answer: every token in its time, and the fault that its model's name asks for."""

from time import monotonic_ns
from typing import Final

import trio

from jarvis_trio.storm.sim.asks import Ask
from jarvis_trio.storm.sim.pacing import Pacer
from jarvis_trio.storm.sim.protocol import CutShortError, Reply
from jarvis_trio.storm.sim.recording import Exchange, Recording
from jarvis_trio.storm.sim.scenarios import Fault, Scenario
from jarvis_trio.storm.sim.shapes import (
    ERRORS,
    GARBAGE,
    End,
    ollama_error,
    openai_error,
    shapes_for,
)

ENDLESS_BYTES: Final = 64 * 1024 * 1024
"""Where an endless line ends after all: what any client should have refused by then."""
_ENDLESS_PIECE: Final = b"x" * 65536
_SCATTER: Final = 2654435761
"""Knuth's multiplier: neighbours land far apart, in every answer alike."""
_MOST_TOKENS_AT_ONCE: Final = 64
"""Between two writes other tasks get their turn, also when tokens come as fast as possible."""


class Answer:
    """One answer on its way to a client.

    Pacing does not drift: token ``i`` is due at the first token's time + ``i`` / rate, and its
    jitter; what is overdue leaves in one write. Before each write the closes that the kernel knows
    of are collected, so no token is made for a peer that is known to have gone.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - six collaborators, each made elsewhere
        self,
        ask: Ask,
        scenario: Scenario,
        exchange: Exchange,
        reply: Reply,
        recording: Recording,
        pacer: Pacer,
    ) -> None:
        self._ask = ask
        self._scenario = scenario
        self._exchange = exchange
        self._reply = reply
        self._recording = recording
        self._pacer = pacer
        self._shapes = shapes_for(ask, exchange.marker if scenario.is_named else "")
        limit = scenario.tokens if ask.limit is None else ask.limit
        self._tokens = min(scenario.tokens, limit)
        self._reason = "length" if limit < scenario.tokens else "stop"
        self._headers_due = trio.current_time() + scenario.headers_seconds
        self._first_due = self._headers_due + scenario.first_token_seconds
        self._headers_ns = self._first_ns = exchange.arrival_ns

    async def run(self) -> bool:
        """Answer; True when the answer was written to its end, False when it met its fault.

        Never returns for a hanging fault. *Errors:* OSError when the peer has closed.
        """
        fault = self._scenario.fault
        if fault is Fault.HANG:
            await trio.sleep_forever()
        if fault is Fault.DIE:
            self._reply.bytes_to_live = self._scenario.at
        if self._scenario.closes:
            self._reply.keep_alive = False
        await self._pacer.sleep_until(self._headers_due)
        self._headers_ns = monotonic_ns()
        if fault is Fault.REFUSE:
            await self._refuse(self._scenario.status, "the sim refuses, as asked")
            return False
        return await (self._stream() if self._ask.stream else self._whole())

    async def _refuse(self, status: int, message: str) -> None:
        openai = self._ask.api == "openai"
        error = openai_error(*ERRORS[status], message) if openai else ollama_error(message)
        again = {"retry-after": "1"} if status in {429, 503} else {}
        await self._reply.json(status, error, again)

    async def _stream(self) -> bool:
        fault = self._scenario.fault
        await self._reply.start(self._shapes.content_type)
        if fault is Fault.SILENT:
            await trio.sleep_forever()
        if fault in {Fault.NONE, Fault.DIE}:
            await self._write_tokens(self._tokens)
            await self._write(self._shapes.ending(self._end()))
            if fault is Fault.DIE:
                raise CutShortError
            await self._reply.end()
            return True
        await self._write_tokens(min(self._scenario.at, self._tokens))
        await self._break_stream(fault)
        return False

    async def _break_stream(self, fault: Fault) -> None:
        match fault:
            case Fault.STALL:
                await trio.sleep_forever()
            case Fault.TRUNCATE:
                await self._reply.write_torn(self._shapes.token(self._scenario.at))
                return
            case Fault.ERROR:
                await self._write(self._shapes.failure())
            case Fault.GARBAGE:
                await self._write(GARBAGE)
            case Fault.ENDLESS_LINE:
                await self._write_endless()
            case _:
                self._reply.keep_alive = False
        await self._reply.end()

    async def _whole(self) -> bool:
        """Not streamed: the headers come with the body, when every token has been made."""
        fault = self._scenario.fault
        made = self._tokens if fault in {Fault.NONE, Fault.DIE} else self._scenario.at
        await self._pacer.sleep_until(self._first_due)
        self._first_ns = monotonic_ns()
        await self._pacer.sleep_until(self._first_due + self._seconds(min(made, self._tokens)))
        if fault is Fault.ERROR:
            await self._refuse(500, "the sim's engine has failed, as asked")
            return False
        if fault is Fault.ENDLESS_LINE:
            await self._reply.start("application/json")
            await self._write_endless()
            await self._reply.end()
            return False
        body = self._shapes.whole(self._end())
        if fault is Fault.NONE:
            await self._reply.start("application/json", len(body))
            await self._write(body)
            self._recording.sent(self._exchange, self._tokens)
            return True
        await self._break_whole(fault, body)
        return False

    async def _break_whole(self, fault: Fault, body: bytes) -> None:
        half = body[: len(body) // 2]
        if fault is Fault.GARBAGE:
            body = half = GARBAGE
        elif fault is Fault.EOF:
            body = half
        await self._reply.start("application/json", len(body))
        if fault is Fault.DIE:
            await self._write(body)
            raise CutShortError
        if fault is not Fault.SILENT:
            await self._write(half)
        if fault in {Fault.SILENT, Fault.STALL}:
            await trio.sleep_forever()
        self._reply.keep_alive = False

    async def _write_tokens(self, stop: int) -> None:
        """Write what opens the stream, and the tokens before ``stop``, each when it is due."""
        await self._pacer.sleep_until(self._first_due)
        self._first_ns = monotonic_ns()
        payload = self._shapes.opening()
        made = 0
        while made < stop:
            upto = min(stop, self._due(made))
            payload += b"".join(map(self._shapes.token, range(made, upto)))
            await self._write(payload)
            self._recording.sent(self._exchange, upto - made)
            payload = b""
            made = upto
            if made < stop:
                await self._pacer.sleep_until(self._due_at(made))
        if payload:
            await self._write(payload)

    async def _write_endless(self) -> None:
        await self._write(self._shapes.endless())
        for _ in range(ENDLESS_BYTES // len(_ENDLESS_PIECE)):
            await self._write(_ENDLESS_PIECE)
            await trio.lowlevel.checkpoint()

    async def _write(self, payload: bytes) -> None:
        self._recording.collect()
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._reply.write(payload)

    def _due(self, made: int) -> int:
        """How many tokens may have left after one more write: those that are due, one at least."""
        now = trio.current_time()
        due = made + 1
        while due < made + _MOST_TOKENS_AT_ONCE and self._due_at(due) <= now:
            due += 1
        return due

    def _due_at(self, index: int) -> float:
        late = self._scenario.jitter_seconds * (index * _SCATTER % 2**32) / 2**32
        return self._first_due + self._seconds(index) + late

    def _seconds(self, tokens: int) -> float:
        """How long so many tokens take to make."""
        rate = self._scenario.tokens_per_second
        return tokens / rate if rate else 0.0

    def _end(self) -> End:
        return End(
            tokens=self._tokens,
            reason=self._reason,
            load=self._headers_ns - self._exchange.arrival_ns,
            prefill=self._first_ns - self._headers_ns,
            decode=monotonic_ns() - self._first_ns,
        )
