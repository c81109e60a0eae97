"""Stop: ends a stream, and tells what was seen of its end, not what was asked for.

A stop is answered when the stream's whole tree has unwound, down to the upstream's socket, and the
backend was seen to work at no more than it has to do for others, where it can be asked. Whoever
stops the same stream meanwhile gets the same receipt.
"""

from typing import Final, Literal

import trio
from msgspec import Struct

from jarvis_trio.engine.endings import Ending
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import JarvisError, ServerShutdownError
from jarvis_trio.events import Cause, Phase
from jarvis_trio.providers.base import Provider

BACKEND_SECONDS: Final = 2.0
"""How long a backend may take to notice: llama.cpp does within a second, also amid a prompt."""

LOOK_SECONDS: Final = 0.02


class Receipt(Struct, frozen=True):
    """What was seen of a stream's end; durations in milliseconds from the stop, null if not seen.

    ``status``: ``cancelled``; ``already_ended`` when it had its cause before; ``unconfirmed`` when
    its backend was not seen to be free of it. ``phase`` is how far it had come by the stop.
    """

    session_id: str
    stream_id: str
    cause: Cause
    phase: Phase
    tokens_sent: int
    upstream_closed_ms: float | None
    backend_idle_ms: float | None
    status: Literal["cancelled", "already_ended", "unconfirmed"]


def receipt_of(ending: Ending) -> Receipt:
    """Return what a stop of a stream that is no more is told."""
    return Receipt(
        session_id=ending.session_id,
        stream_id=ending.stream_id,
        cause=ending.cause,
        phase=Phase.ENDED,
        tokens_sent=ending.tokens_sent,
        upstream_closed_ms=None,
        backend_idle_ms=None,
        status="already_ended",
    )


class Stop:
    """One stream's stop. Made when it begins; :meth:`run` is the sessions' to run, once."""

    def __init__(self, stream: LiveStream, provider: Provider, live: set[LiveStream]) -> None:
        self._stream = stream
        self._provider = provider
        self._live = live
        self._began = trio.current_time()
        self._phase = stream.phase
        self._had_ended = stream.cause is not None
        self._receipt: Receipt | None = None
        self._is_over = trio.Event()

    async def wait(self) -> Receipt:
        """Wait for the end. *Errors:* ServerShutdownError when the server was sooner."""
        await self._is_over.wait()
        if self._receipt is None:
            raise ServerShutdownError("the server is shutting down", retry_after=1.0)
        return self._receipt

    async def run(self) -> None:
        """See the stream off, and make the receipt."""
        try:
            await self._stream.released.wait()
            closed_ms = self._elapsed_ms() if self._is_closed else None
            idle_ms = None
            if closed_ms is not None and not self._had_ended:
                idle_ms = await self._wait_until_idle()
            self._receipt = self._make_receipt(closed_ms, idle_ms)
        finally:
            self._is_over.set()

    @property
    def _is_closed(self) -> bool:
        """The upstream was asked, and its connection is closed: else a cleanup hangs."""
        return self._stream.started_at is not None and self._stream.finished.is_set()

    async def _wait_until_idle(self) -> float | None:
        """Return when the backend worked at no more than others' streams; None if never seen."""
        with trio.move_on_after(BACKEND_SECONDS):
            while (busy := await self._ask()) is not None:
                if busy <= sum(map(_is_asking, self._live)):
                    return self._elapsed_ms()
                await trio.sleep(LOOK_SECONDS)  # nobody tells
        return None

    async def _ask(self) -> int | None:
        try:
            return await self._provider.busy()
        except JarvisError:
            return None
        except Exception:  # a bug of the provider's; it must not take down every stream
            self._stream.log.exception("stop_crashed")
            return None

    def _make_receipt(self, closed_ms: float | None, idle_ms: float | None) -> Receipt:
        stream = self._stream
        never_asked = stream.started_at is None
        status: Literal["cancelled", "already_ended", "unconfirmed"] = "unconfirmed"
        if self._had_ended:
            status = "already_ended"
        elif never_asked or idle_ms is not None:
            status = "cancelled"
        return Receipt(
            session_id=stream.prompt.session_id,
            stream_id=stream.id,
            cause=stream.cause or Cause.COMPLETED,
            phase=self._phase,
            tokens_sent=stream.answer.pieces,
            upstream_closed_ms=closed_ms,
            backend_idle_ms=idle_ms,
            status=status,
        )

    def _elapsed_ms(self) -> float:
        return round((trio.current_time() - self._began) * 1000, 1)


def _is_asking(stream: LiveStream) -> bool:
    """Say whether the upstream may be at work for it: not while only its readers are waited for."""
    return stream.started_at is not None and stream.phase is not Phase.FLUSH
