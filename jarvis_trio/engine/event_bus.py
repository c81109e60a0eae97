"""Tells subscribers in this process what streams do, without ever letting one harm a stream.

Each subscriber has one task per stream, in that stream's own tree: events arrive in order, and a
cancelled stream takes its callbacks with it. How a stream *ended* is told by the service instead,
once the tree has unwound, since a cancelled tree cannot speak for itself any more.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import structlog
import trio

from jarvis_trio.errors import JarvisError
from jarvis_trio.events import ChatEvent

EventName = Literal["chat.status", "chat.token", "chat.end", "chat.error"]
TOLD_ON_THE_WAY: Final[tuple[EventName, ...]] = ("chat.status", "chat.token")
"""What is told while the answer is made; the others are told when it has ended."""

Callback = Callable[[ChatEvent], Awaitable[Any] | Any]

EVENTS_AHEAD = 256
"""Events one subscriber may lag behind one stream; past it they are dropped and counted, since
holding the stream back for a spectator is what must not happen."""

log = structlog.get_logger("jarvis_trio")


class _Subscriber:
    def __init__(self, name: EventName, callback: Callback) -> None:
        self.name = name
        self.callback = callback
        self.is_subscribed = True
        self.is_async = inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
            getattr(callback, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        # A sync callback may block, so it runs in a thread; one at a time, as its author expects.
        self.one_at_a_time = trio.CapacityLimiter(1)

    async def call(self, event: ChatEvent) -> None:
        """Call back; whatever the callback raises stops here."""
        if not self.is_subscribed:
            return
        try:
            if self.is_async:
                await self.callback(event)
            else:
                await trio.to_thread.run_sync(
                    self.callback, event, abandon_on_cancel=True, limiter=self.one_at_a_time
                )
        # A callback's own tasks may fail while they are cancelled: an error in a group with
        # Cancelled is no Exception, and would end the service.
        except* Exception:
            log.exception("callback_failed", trace=event.trace, chat_event=event.name)

    async def call_for(self, event: ChatEvent, timeout_seconds: float) -> None:
        """Call back for a bounded time."""
        with trio.move_on_after(timeout_seconds) as limit:
            await self.call(event)
        if limit.cancelled_caught:
            log.warning("callback_lagging", trace=event.trace, chat_event=event.name)

    async def deliver(self, events: trio.MemoryReceiveChannel[ChatEvent]) -> None:
        with events:
            async for event in events:
                await self.call(event)


class StreamEvents:
    """One stream's way to the subscribers that there were when it started."""

    def __init__(self, trace: str) -> None:
        self.running = 0
        self.dropped = 0
        self._trace = trace
        self._channels: list[tuple[EventName, trio.MemorySendChannel[ChatEvent]]] = []

    def emit(self, event: ChatEvent) -> None:
        """Tell the subscribers of this event's name. Sync: never waits for any of them."""
        for name, channel in self._channels:
            if name == event.name:
                try:
                    channel.send_nowait(event)
                except trio.WouldBlock:
                    self.dropped += 1
                except trio.BrokenResourceError:
                    pass  # its task was cancelled with the stream

    def close(self) -> None:
        """No event will follow: callback tasks end when they have told what is there."""
        for _, channel in self._channels:
            channel.close()
        if self.dropped:
            log.warning("callback_lagging", trace=self._trace, dropped=self.dropped)

    def add(self, subscriber: _Subscriber, nursery: trio.Nursery) -> None:
        """Start the task of one subscriber."""
        send, receive = trio.open_memory_channel[ChatEvent](EVENTS_AHEAD)
        self._channels.append((subscriber.name, send))
        nursery.start_soon(self._run, subscriber, receive, name=f"callback {subscriber.name}")

    async def _run(
        self, subscriber: _Subscriber, events: trio.MemoryReceiveChannel[ChatEvent]
    ) -> None:
        self.running += 1
        await subscriber.deliver(events)
        self.running -= 1  # stays up when cancelled: that is what the clean-up counts


class EventBus:
    """``chat.status``, ``chat.token``, ``chat.end`` and ``chat.error`` to whoever subscribes.

    Callbacks take one ChatEvent and may be sync (run in a thread, one at a time) or async. What
    they raise is logged; when one lags, its events are dropped. No subscriber costs nothing.
    """

    def __init__(self) -> None:
        self._subscribers: list[_Subscriber] = []
        self._closed = False

    def subscribe(self, name: EventName, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` for streams that start from now on.

        Returns the way to unsubscribe: no call begins after it, also not for streams that run.
        Errors: JarvisError once the bus is closed.
        """
        if self._closed:
            raise JarvisError("the event bus is closed")
        subscriber = _Subscriber(name, callback)
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            subscriber.is_subscribed = False
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    def attach(self, nursery: trio.Nursery, trace: str) -> StreamEvents:
        """Start the callback tasks of one stream in its own nursery.

        Resources: the caller must ``close()`` what it gets.
        """
        events = StreamEvents(trace)
        for subscriber in self._subscribers:
            if subscriber.name in TOLD_ON_THE_WAY:
                events.add(subscriber, nursery)
                log.debug("callback_task_created", trace=trace, chat_event=subscriber.name)
        return events

    def has_subscribers(self, *names: EventName) -> bool:
        """Say whether anybody listens for one of these names."""
        return any(subscriber.name in names for subscriber in self._subscribers)

    async def announce(self, event: ChatEvent, timeout_seconds: float) -> None:
        """Tell how a stream ended; every subscriber has the same bounded time, side by side."""
        async with trio.open_nursery() as nursery:
            for subscriber in self._subscribers:
                if subscriber.name == event.name:
                    nursery.start_soon(subscriber.call_for, event, timeout_seconds)

    def close(self) -> None:
        """Take no more subscribers and tell no more endings."""
        if not self._closed:
            self._closed = True
            self._subscribers.clear()
            log.info("events_bus_closed")
