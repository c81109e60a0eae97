"""The tree of tasks that makes one answer.

::

    run_stream
    ├─ callbacks            one task per subscriber of the event bus, if there is one
    └─ making
       ├─ generate          provider -> deltas -> bounded memory channel
       └─ batch             channel -> frames -> replay buffer
"""

from contextlib import AsyncExitStack, suppress

import trio
from msgspec import Struct

from jarvis_trio.engine.asking import ask
from jarvis_trio.engine.batching import Batcher
from jarvis_trio.engine.event_bus import EventBus, EventName, StreamEvents
from jarvis_trio.engine.pace import Pace
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.engine.window import Window
from jarvis_trio.errors import JarvisError, UpstreamEOFError, UpstreamTimeoutError
from jarvis_trio.events import ChatEvent, Delta, Phase
from jarvis_trio.providers.base import Provider

READS_AHEAD = 8
"""What generate may be ahead of batch, in upstream reads (each at most 64 KB): enough that a
read can wait while a frame is made, small enough that back-pressure reaches the upstream."""


class StreamLimits(Struct, frozen=True):
    """The durations and sizes one stream lives by."""

    flush_window_seconds: float
    flush_bytes: int
    first_token_timeout_seconds: float
    idle_timeout_seconds: float
    cleanup_timeout_seconds: float
    replay_limit_bytes: int
    upstream_retries: int


async def run_stream(
    stream: LiveStream, provider: Provider, limits: StreamLimits, window: Window, bus: EventBus
) -> None:
    """Make the answer. Returns, or is cancelled, with nothing of it left running.

    Readers have their terminal frame as soon as the answer is made: callbacks that still run
    then are given ``cleanup_timeout`` and hold nobody up, as a new prompt cancels them at once.
    """
    async with trio.open_nursery() as tree:
        events = bus.attach(tree, stream.prompt.trace)
        try:
            stream.begin()
            if events is not None:
                events.emit(event_of(stream, "chat.status", status="thinking"))
            await _make(stream, provider, limits, window, events)
            if stream.answer.finish_reason is None:
                # A provider that ends without an end marker breaks its promise; ours holds.
                stream.fail(UpstreamEOFError(f"{provider.name} sent no end marker"))
            stream.conclude()
            tree.cancel_scope.deadline = trio.current_time() + limits.cleanup_timeout_seconds
        finally:
            if events is not None:
                events.close()
                stream.log.debug("cleanup_callback_tasks", count=events.running)


def event_of(stream: LiveStream, name: EventName, **data: object) -> ChatEvent:
    """Return an event that carries its stream's ids: tasks inherit the wrong context."""
    prompt = stream.prompt
    return ChatEvent(name, stream.id, prompt.session_id, prompt.trace, data)


async def _make(
    stream: LiveStream,
    provider: Provider,
    limits: StreamLimits,
    window: Window,
    events: StreamEvents | None,
) -> None:
    def tell_text(text: str) -> None:
        if events is not None:
            events.emit(event_of(stream, "chat.token", text=text))

    send, receive = trio.open_memory_channel[list[Delta]](READS_AHEAD)
    batcher = Batcher(
        stream,
        receive,
        on_text=None if events is None else tell_text,
    )
    with receive:
        try:
            async with trio.open_nursery() as making:
                making.start_soon(generate, stream, provider, limits, window, send, name="generate")
                making.start_soon(batcher.run, name="batch")
        finally:
            batcher.clean_up()


async def generate(
    stream: LiveStream,
    provider: Provider,
    limits: StreamLimits,
    window: Window,
    channel: trio.MemorySendChannel[list[Delta]],
) -> None:
    """Read the upstream into ``channel`` until it ends, fails or is too slow.

    A failure is noted on the stream and ends the channel, so that what was read before it is
    still framed. *Resources:* closes the channel; the upstream connection is the provider's
    context, closed before this returns.
    """
    pace = Pace(window, limits.flush_bytes, stream.log)
    with channel:
        limit = trio.CancelScope(deadline=trio.current_time() + limits.first_token_timeout_seconds)
        try:
            with limit:
                async with AsyncExitStack() as connection:
                    answer = await ask(stream, provider, limits.upstream_retries, connection)
                    stream.accept()
                    while deltas := await answer.receive():
                        stream.reach(Phase.DECODE)
                        try:
                            channel.send_nowait(deltas)
                        except trio.WouldBlock:
                            # Waiting for our own readers is not the upstream's fault.
                            limit.deadline = float("inf")
                            await channel.send(deltas)
                        # In the window nobody listens.
                        rest_seconds = window.seconds + limits.idle_timeout_seconds
                        limit.deadline = trio.current_time() + rest_seconds
                        try:
                            await pace.rest(answer, deltas)
                        except trio.Cancelled:
                            # What has come in the window, and can be had at once, is part of it.
                            with suppress(trio.WouldBlock):
                                channel.send_nowait(answer.receive_nowait())
                            raise
                    stream.reach(Phase.FLUSH)
            if limit.cancelled_caught:
                stream.fail(_too_slow(stream, provider, limits))
        except JarvisError as error:
            stream.fail(error)
        except Exception:
            stream.log.exception("stream_crashed", phase=str(stream.phase))
            stream.fail(JarvisError("the server failed while it made this answer; see its log"))


def _too_slow(stream: LiveStream, provider: Provider, limits: StreamLimits) -> UpstreamTimeoutError:
    if stream.phase is Phase.DECODE:
        waited, what = limits.idle_timeout_seconds, "the next token"
    else:
        waited, what = limits.first_token_timeout_seconds, "a first token"
    return UpstreamTimeoutError(
        f"{provider.name} sent nothing for {waited:g} s while we waited for {what} ({stream.phase})"
    )
