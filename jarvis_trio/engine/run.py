"""Makes one answer, in the stream's own task.

::

    StreamRunner    provider -> deltas -> frames -> replay buffer, one read after the other
    └─ callbacks    one task per subscriber of the event bus, if there is one

Between two reads it waits until its readers have room, then for the batching window. Meanwhile what
the upstream makes gathers in the kernel's socket buffer, and past that holds the upstream back.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack

import trio
from msgspec import Struct

from jarvis_trio.engine.asking import ask
from jarvis_trio.engine.event_bus import TOLD_ON_THE_WAY, EventBus, EventName, StreamEvents
from jarvis_trio.engine.framing import Framer
from jarvis_trio.engine.idle_timeout import IdleTimeout
from jarvis_trio.engine.pace import Pace, is_end
from jarvis_trio.engine.recorder import Recorder
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.engine.window import Window
from jarvis_trio.errors import JarvisError, UpstreamEOFError, UpstreamTimeoutError
from jarvis_trio.events import ChatEvent, Phase
from jarvis_trio.providers.base import Answer, Provider


class StreamLimits(Struct, frozen=True):
    """The durations and sizes one stream lives by."""

    flush_window_seconds: float
    flush_bytes: int
    first_token_timeout_seconds: float
    idle_timeout_seconds: float
    cleanup_timeout_seconds: float
    replay_limit_bytes: int
    upstream_retries: int
    session_queue: int
    history_tokens: int
    resume_grace_seconds: float
    resume_limit_bytes: int
    kept_limit_bytes: int


class StreamRunner:
    """Runs streams, each in the task that asks for it; what they have in common is here."""

    def __init__(
        self,
        provider: Provider,
        limits: StreamLimits,
        window: Window,
        bus: EventBus,
        recorder: Recorder,
    ) -> None:
        self.idle_timeout = IdleTimeout()
        self._provider = provider
        self._recorder = recorder
        self._limits = limits
        self._window = window
        self._bus = bus

    async def run(self, stream: LiveStream, upstream_is_left: Callable[[], None]) -> None:
        """Make the answer. Returns, or is cancelled, with nothing of it left running.

        ``upstream_is_left`` is called when the upstream has nothing to do with it any more, where
        that is before the end.

        Readers have their terminal frame as soon as the answer is made: callbacks that still run
        then are given ``cleanup_timeout`` and hold nobody up, as a new prompt cancels them at once.
        """
        if not self._bus.has_subscribers(*TOLD_ON_THE_WAY):
            await self._make(stream, upstream_is_left, None)
            return
        async with trio.open_nursery() as callbacks:
            events = self._bus.attach(callbacks, stream.prompt.trace)
            try:
                await self._make(stream, upstream_is_left, events)
                cleanup_seconds = self._limits.cleanup_timeout_seconds
                callbacks.cancel_scope.deadline = trio.current_time() + cleanup_seconds
            finally:
                events.close()
                stream.events_dropped = events.dropped
                stream.log.debug("cleanup_callback_tasks", count=events.running)

    async def _make(
        self,
        stream: LiveStream,
        upstream_is_left: Callable[[], None],
        events: StreamEvents | None,
    ) -> None:
        """Read and frame from beginning to end. A failure is noted on the stream, not raised."""

        def tell_text(text: str) -> None:
            if events is not None:
                events.emit(event_of(stream, "chat.token", text=text))

        stream.begin()
        if events is not None:
            events.emit(event_of(stream, "chat.status", status="thinking"))
        framer = Framer(stream, None if events is None else tell_text)
        limit = trio.CancelScope()
        first_token_seconds = self._limits.first_token_timeout_seconds
        self.idle_timeout.begin(limit, trio.current_time() + first_token_seconds)
        try:
            await self._read(stream, framer, limit)
        except BaseException:
            framer.clean_up()
            raise
        finally:
            self.idle_timeout.stop(limit)
        upstream_is_left()
        stream.log.debug("flush_on_end")
        await stream.replay.wait_for_room()
        if stream.answer.finish_reason is None:
            # A provider that ends without an end marker breaks its promise; ours holds.
            stream.fail(UpstreamEOFError(f"{self._provider.name} sent no end marker"))
        stream.complete()
        await self._recorder.keep(stream)
        stream.conclude()

    async def _read(self, stream: LiveStream, framer: Framer, limit: trio.CancelScope) -> None:
        """Read the upstream until it ends, fails or is too slow, which is to cancel ``limit``.

        *Resources:* the upstream connection is the provider's context, closed before this returns.
        """
        try:
            with limit:
                async with AsyncExitStack() as connection:
                    request = await self._recorder.begin(stream)
                    retries = self._limits.upstream_retries
                    answer = await ask(stream, request, self._provider, retries, connection)
                    stream.accept()
                    await self._frame_all(stream, answer, framer, limit)
                stream.reach(Phase.FLUSH)
            if limit.cancelled_caught:
                stream.fail(self._too_slow(stream))
        except JarvisError as error:
            stream.fail(error)
        except Exception:
            stream.log.exception("stream_crashed", phase=str(stream.phase))
            stream.fail(JarvisError("the server failed while it made this answer; see its log"))

    async def _frame_all(
        self, stream: LiveStream, answer: Answer, framer: Framer, limit: trio.CancelScope
    ) -> None:
        """Frame what ``answer`` brings, at the window's pace."""
        pace = Pace(self._window, self._limits.flush_bytes, stream.log)
        deltas = await answer.receive()
        while deltas:
            stream.reach(Phase.DECODE)
            size = framer.frame(deltas)
            self._recorder.take_place(stream)
            try:
                if not stream.replay.has_room and not is_end(deltas):
                    # Waiting for our own readers is not the upstream's fault.
                    self.idle_timeout.stop(limit)
                    await stream.replay.wait_for_room()
                # In the window nobody listens.
                rest_seconds = self._window.seconds + self._limits.idle_timeout_seconds
                self.idle_timeout.begin(limit, trio.current_time() + rest_seconds)
                await pace.rest(answer, deltas, size)
            except trio.Cancelled:
                framer.frame_last(answer.receive_nowait())
                raise
            deltas = await answer.receive()

    def _too_slow(self, stream: LiveStream) -> UpstreamTimeoutError:
        if stream.phase is Phase.DECODE:
            waited, what = self._limits.idle_timeout_seconds, "the next token"
        else:
            waited, what = self._limits.first_token_timeout_seconds, "a first token"
        return UpstreamTimeoutError(
            f"{self._provider.name} sent nothing for {waited:g} s while we waited for {what} "
            f"({stream.phase})"
        )


def event_of(stream: LiveStream, name: EventName, **data: object) -> ChatEvent:
    """Return an event that carries its stream's ids: tasks inherit the wrong context."""
    prompt = stream.prompt
    return ChatEvent(name, stream.id, prompt.session_id, prompt.trace, data)
