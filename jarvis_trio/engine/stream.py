"""One answer: its state, who may end it, and what its readers see at the end.

Nothing here awaits. :mod:`run` is the tree of tasks that makes the answer; :mod:`sessions`
decides when it may start. Down the tree goes work; up go only ``cancel(cause)`` and ``finished``.
"""

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from jarvis_trio.engine.grace import Grace
from jarvis_trio.engine.growing_answer import GrowingAnswer
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.replay import Reader, ReplayBuffer
from jarvis_trio.engine.stream_ids import new_stream_id
from jarvis_trio.errors import (
    JarvisError,
    ServerShutdownError,
    StoppedError,
    SupersededError,
    UpstreamEOFError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import Cause, Phase
from jarvis_trio.observe.metrics import Metrics

if TYPE_CHECKING:
    from jarvis_trio.engine.stopping import Stop

SHUTDOWN_RETRY_AFTER_SECONDS = 5.0

log = structlog.get_logger("jarvis_trio")

FAILURES = frozenset({Cause.UPSTREAM_ERROR, Cause.UPSTREAM_EOF, Cause.UPSTREAM_TIMEOUT})
DEPARTURES = frozenset({Cause.CLIENT_DISCONNECT, Cause.CLIENT_STALLED})


class Turn(Enum):
    """What the history has of a stream."""

    NONE = auto()
    BEGUN = auto()
    STANDS = auto()
    """Its answer has begun, and what it replaces is gone."""
    ENDED = auto()


class LiveStream:
    """One answer being made; it owns everything that is opened for it.

    ``settled`` is set when the upstream has accepted or the stream has ended, whichever is first:
    from then on the HTTP status is known. ``finished`` is set when the whole tree has unwound,
    down to the upstream's socket; ``released`` when its session is free, which a quarantine
    brings about earlier. ``on_cancelled`` is called once, by the first ``cancel``. Without readers
    it ends, or, where there is a ``grace``, when that is over.
    """

    def __init__(
        self,
        prompt: Prompt,
        replay_limit_bytes: int,
        on_cancelled: "Callable[[LiveStream], None]",
        grace: Grace | None = None,
    ) -> None:
        self.id = new_stream_id()
        self.prompt = prompt
        self.phase = Phase.QUEUED
        self.cause: Cause | None = None
        self.error: JarvisError | None = None
        self.answer = GrowingAnswer()
        self.scope = trio.CancelScope()
        self.settled = trio.Event()
        self.finished = trio.Event()
        self.released = trio.Event()
        self.accepted = False
        self.task: trio.lowlevel.Task | None = None
        self.started_at: float | None = None
        self.cancelled_at: float | None = None
        self.retries = 0
        self.events_dropped = 0
        self.quarantined = False
        self.turn = Turn.NONE
        self.replaces = prompt.request.replaces
        self.is_rolled_back = False
        self.misses_history = False
        self.stop: Stop | None = None
        self.first_text_at: float | None = None
        self.encoder = prompt.make_encoder(self.id)
        self._good_end = b""
        self.replay = ReplayBuffer(
            replay_limit_bytes,
            on_abandoned=self._abandoned,
            split=self.encoder.split,
            keep_bytes=None if grace is None else grace.held_bytes,
        )
        self._grace = grace
        self._on_cancelled = on_cancelled
        self.log = log.bind(trace=prompt.trace, stream_id=self.id, session=prompt.session_id)

    def __repr__(self) -> str:
        return f"<LiveStream {self.id} {self.phase} cause={self.cause}>"

    @property
    def session_id(self) -> str:
        """The session that it answers in."""
        return self.prompt.session_id

    @property
    def leaves_a_turn(self) -> bool:
        """The history has a turn of it, and keeps that."""
        return self.turn is not Turn.NONE and not self.is_rolled_back

    @property
    def was_abandoned(self) -> bool:
        """It has been ended because nobody reads it: nobody can any more."""
        return self.cause in DEPARTURES

    @property
    def seconds_since_cancel(self) -> float | None:
        """How long it has been unwinding; None where it never began, or nobody cancelled it."""
        if self.started_at is None or self.cancelled_at is None:
            return None
        return trio.current_time() - self.cancelled_at

    def attach(self, after: int | None = None) -> Reader:
        """Open a reader, behind event ``after`` where somebody comes back.

        Resources: the caller must ``leave()`` it; the last to leave cancels, or begins the grace.
        Errors: those of :meth:`ReplayBuffer.attach`.
        """
        reader = self.replay.attach(after)
        if self._grace is not None:
            self._grace.stop(self.id)
        if after is not None:
            self.log.info("stream_reattached", phase=str(self.phase), after=after)
        return reader

    def cancel(self, cause: Cause, error: JarvisError | None = None) -> None:
        """End it now. Sync; ``finished`` tells when the tree has unwound.

        The first cause stays: a stream that has already ended is only hurried in its unwinding.
        """
        if self.cause is None:
            self.cause = cause
            self.error = error or _error_for(cause)
            self.log.info("stream_cancelled", reason=cause.log_reason, phase=str(self.phase))
        if not self.scope.cancel_called:
            self.cancelled_at = trio.current_time()
            self.scope.cancel(reason=self.cause.log_reason)
            self._on_cancelled(self)

    def reach(self, phase: Phase) -> None:
        """Note how far it has come. What has ended stays ended, also when it is quarantined."""
        if self.phase is not Phase.ENDED:
            self.phase = phase

    def begin(self) -> None:
        """Start, as the session is ours: tell the readers that an answer is on its way."""
        self.started_at = trio.current_time()
        self.reach(Phase.CONNECT)
        self.log.info("stream_start")
        self.replay.append(self.encoder.opening())
        self.log.info("first_event", status="thinking")

    def accept(self) -> None:
        """Note that the upstream has accepted the request."""
        if self.phase is Phase.ENDED:
            return
        self.reach(Phase.PREFILL)
        self.accepted = True
        self.settled.set()

    def fail(self, error: JarvisError) -> None:
        """Note why the upstream gave no whole answer; a cause that is already there stays."""
        if self.cause is None:
            self.error = error.with_traceback(None)  # its frames hold the stream
            self.cause = _cause_of(error)
            self.log.warning(
                "stream_failed", code=error.code, phase=str(self.phase), error=error.summary
            )

    def complete(self) -> None:
        """Note that the answer has come to its end; a cause that is already there stays."""
        if self.cause is None:
            # A bug in the encoder raises before anything has changed: then the stream has failed.
            finish_reason = self.answer.finish_reason or "stop"
            self._good_end = self.encoder.finish(finish_reason, self.answer.usage)
            self.cause = Cause.COMPLETED

    def conclude(self) -> None:
        """Give the readers their terminal frame, exactly one; idempotent."""
        if self.phase is Phase.ENDED:
            return
        self.complete()
        frame = self._good_end
        self.phase = Phase.ENDED
        try:
            if self.error is not None:
                frame = self.encoder.error(self.error)
        except Exception:
            self.log.exception("stream_crashed", phase=str(self.phase))
        self.replay.append(frame)
        self.replay.close()
        if self._grace is not None:
            self._grace.stop(self.id)
        self.settled.set()

    def ending(self) -> dict[str, object]:
        """Return how it ended, as subscribers are told: ``chat.error`` or ``chat.end``."""
        if self.cause in FAILURES and self.error is not None:
            return {"cause": self.cause, "code": self.error.code, "message": self.error.message}
        answer = self.answer
        return {
            "cause": self.cause,
            "finish_reason": answer.finish_reason,
            "usage": answer.usage,
        }

    def count_end(self, metrics: Metrics) -> None:
        """Count what became of it."""
        metrics.count_end(
            self.cause or Cause.COMPLETED,
            self.seconds_since_cancel,
            retries=self.retries,
            events_dropped=self.events_dropped,
        )

    def log_end(self) -> None:
        """Write the last lines; a stream that never had the session never had a first one."""
        if self.started_at is None:
            self.log.info("stream_never_started", cause=str(self.cause))
            return
        if self.cause is not Cause.COMPLETED:
            self.log.debug("stream_cleanup")
        self.log.debug("event_buffers_cleaned")
        self.log.info("cleanup_request_complete")
        first = self.first_text_at
        self.log.info(
            "stream_end",
            cause=str(self.cause),
            duration_ms=round((trio.current_time() - self.started_at) * 1000, 1),
            ttft_ms=None if first is None else round((first - self.started_at) * 1000, 1),
            tokens=self.answer.pieces,
            cleanup_done=True,
        )

    def _abandoned(self, cause: Cause) -> None:
        if self.cause is None:
            self.log.info("stream_disconnected", phase=str(self.phase))
            if self._grace is None:
                self.cancel(cause)
            else:
                self._grace.begin(self.id, partial(self.cancel, Cause.CLIENT_DISCONNECT))


def superseded_by(successor: LiveStream) -> SupersededError:
    """Return what the readers of a superseded stream are told."""
    return SupersededError(successor.id)


def _error_for(cause: Cause) -> JarvisError | None:
    """Return what the readers are told; nobody reads on after a disconnect."""
    if cause is Cause.STOPPED:
        return StoppedError("the answer was stopped")
    if cause is Cause.SHUTDOWN:
        return ServerShutdownError(
            "the server is shutting down", retry_after=SHUTDOWN_RETRY_AFTER_SECONDS
        )
    return None


def _cause_of(error: JarvisError) -> Cause:
    if isinstance(error, UpstreamTimeoutError):
        return Cause.UPSTREAM_TIMEOUT
    if isinstance(error, UpstreamEOFError):
        return Cause.UPSTREAM_EOF
    return Cause.UPSTREAM_ERROR
