"""The event bus: subscribers hear what streams do, and can harm none of them."""

import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.event_bus import EVENTS_AHEAD, EventBus
from jarvis_trio.errors import JarvisError, UpstreamEOFError, UpstreamError
from jarvis_trio.events import Cause, ChatEvent, Finish, Reasoning, Text, Usage
from tests.engine.engine import LIMITS, Engine
from tests.scripted import Play, words

CLEANUP_SECONDS = LIMITS.cleanup_timeout_seconds


class Heard:
    """An async subscriber's memory."""

    def __init__(self) -> None:
        self.events: list[ChatEvent] = []
        self.news = trio.Event()

    async def hear(self, event: ChatEvent) -> None:
        await trio.lowlevel.checkpoint()
        self.note(event)

    def note(self, event: ChatEvent) -> None:
        self.events.append(event)
        self.news.set()

    def text(self, trace: str = "A") -> str:
        return "".join(
            event.data["text"]
            for event in self.events
            if event.name == "chat.token" and event.trace == trace
        )

    def data(self, name: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.name == name]


async def hang(event: ChatEvent) -> None:
    await trio.sleep_forever()


def stuck() -> Play:
    return Play(Text("a"), trio.Event())


def events_in(capture: structlog.testing.LogCapture) -> list[str]:
    return [entry["event"] for entry in capture.entries]


async def test_an_async_subscriber_hears_everything_of_a_stream_in_order(
    autojump_clock: MockClock,
) -> None:
    heard = Heard()
    lines = [f"w{number} " for number in range(50)]
    play = Play(*[step for line in lines for step in (0.02, Text(line))], Finish("stop"))
    async with Engine(lambda prompt: play).running() as engine:
        engine.bus.subscribe("chat.status", heard.hear)
        engine.bus.subscribe("chat.token", heard.hear)
        client = engine.send("A")
        await client.read()
        await client.stream.finished.wait()
        assert heard.data("chat.status") == [{"status": "thinking"}]
        assert heard.text() == "".join(lines)
        assert {(event.stream_id, event.session_id, event.trace) for event in heard.events} == {
            (client.stream.id, "s", "A")
        }
        await engine.assert_nothing_is_left()


async def test_a_subscriber_hears_text_and_not_reasoning(autojump_clock: MockClock) -> None:
    heard = Heard()
    play = Play(Reasoning("hm"), 1.0, [Reasoning("so"), Text("a")], 1.0, Finish("stop"))
    async with Engine(lambda prompt: play).running() as engine:
        engine.bus.subscribe("chat.token", heard.hear)
        client = engine.send("A")
        await client.read()
        await client.stream.finished.wait()
        assert heard.data("chat.token") == [{"text": "a"}]


async def test_a_sync_subscriber_is_called_in_a_thread_in_order_and_one_at_a_time() -> None:
    """In real time: virtual time would not wait for a thread."""
    heard: list[str] = []
    threads: set[int] = set()
    busy = threading.Lock()

    def note(event: ChatEvent) -> None:
        assert busy.acquire(blocking=False)
        threads.add(threading.get_ident())
        heard.append(event.trace + event.data["text"])
        busy.release()

    play = Play(*[Text(str(number % 10)) for number in range(30)], Finish("stop"))
    limits = replace(LIMITS, flush_bytes=1)
    with trio.fail_after(5):
        async with Engine(lambda prompt: play, limits).running() as engine:
            engine.bus.subscribe("chat.token", note)
            clients = [engine.send(name, session=name) for name in "AB"]
            for client in clients:
                await client.stream.finished.wait()
    for name in "AB":
        told = "".join(text[1:] for text in heard if text[0] == name)
        assert told == "0123456789" * 3
    assert threading.get_ident() not in threads


async def test_subscribers_do_not_wait_for_each_other(autojump_clock: MockClock) -> None:
    heard = Heard()
    async with Engine(lambda prompt: Play(Text("a"), 1.0, Text("b"), 1.0)).running() as engine:
        engine.bus.subscribe("chat.token", hang)
        engine.bus.subscribe("chat.token", heard.hear)
        client = engine.send("A")
        await client.read()
        await wait_all_tasks_blocked()
        assert heard.text() == "ab"


async def test_a_callback_that_fails_is_logged_and_goes_on_hearing(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    heard = Heard()

    async def fails_once(event: ChatEvent) -> None:
        await heard.hear(event)
        if len(heard.events) == 1:
            raise ZeroDivisionError

    async with Engine(lambda prompt: words("a", "b", gap=1)).running() as engine:
        engine.bus.subscribe("chat.token", fails_once)
        client = engine.send("A")
        assert await client.read() == b"<open>[a][b]<end stop>"
        await client.stream.finished.wait()
        assert heard.text() == "ab"
        assert client.stream.cause is Cause.COMPLETED
    failed = [entry for entry in logged.entries if entry["event"] == "callback_failed"]
    assert [(entry["trace"], entry["chat_event"]) for entry in failed] == [("A", "chat.token")]


async def test_a_sync_callback_that_fails_is_logged_too(
    logged: structlog.testing.LogCapture,
) -> None:
    def fails(event: ChatEvent) -> None:
        raise ZeroDivisionError

    with trio.fail_after(5):
        async with Engine(lambda prompt: words("a")).running() as engine:
            engine.bus.subscribe("chat.token", fails)
            client = engine.send("A")
            assert await client.read() == b"<open>[a]<end stop>"
            await client.stream.finished.wait()
    assert events_in(logged).count("callback_failed") == 1


async def test_a_hanging_callback_never_holds_up_the_end_of_the_answer(
    autojump_clock: MockClock,
) -> None:
    """[DONE] goes out at once; the callbacks then have cleanup_timeout and not more."""
    async with Engine(lambda prompt: words("a", "b", gap=1)).running() as engine:
        engine.bus.subscribe("chat.token", hang)
        client = engine.send("A")
        assert await client.read() == b"<open>[a][b]<end stop>"
        assert trio.current_time() - client.started == pytest.approx(2)
        assert not client.stream.finished.is_set()
        await client.stream.finished.wait()
        assert trio.current_time() - client.started == pytest.approx(2 + CLEANUP_SECONDS)
        assert client.stream.cause is Cause.COMPLETED
        await engine.assert_nothing_is_left()


async def test_a_normal_end_waits_for_a_callback_that_needs_its_time(
    autojump_clock: MockClock,
) -> None:
    heard = Heard()

    async def slow(event: ChatEvent) -> None:
        await trio.sleep(0.6)
        await heard.hear(event)

    async with Engine(lambda prompt: words("a", "b", "c", gap=0.1)).running() as engine:
        engine.bus.subscribe("chat.token", slow)
        client = engine.send("A")
        await client.stream.finished.wait()
        assert heard.text() == "abc"
        assert trio.current_time() - client.started == pytest.approx(0.1 + 3 * 0.6)


@pytest.mark.parametrize("answered", [True, False], ids=["while it drains", "in the middle"])
async def test_a_new_prompt_takes_a_hanging_callback_down_at_once(
    autojump_clock: MockClock, answered: bool
) -> None:
    """A supersede costs no time of its own, and the first answer stays what it was."""
    plays = {"A": words("a") if answered else stuck(), "B": words("b")}
    ended: list[dict[str, Any]] = []

    async def note_end(event: ChatEvent) -> None:
        await trio.lowlevel.checkpoint()
        ended.append(event.data)

    async with Engine(plays.__getitem__).running() as engine:
        engine.bus.subscribe("chat.token", hang)
        engine.bus.subscribe("chat.end", note_end)
        first = engine.send("A")
        await wait_all_tasks_blocked()
        before = trio.current_time()
        assert await engine.send("B").read() == b"<open>[b]<end stop>"
        assert trio.current_time() == before
        received = await first.read()
        expected = b"<end stop>" if answered else b"<error superseded>"
        assert received == b"<open>[a]" + expected
        await engine.assert_nothing_is_left()
        await wait_all_tasks_blocked()
    causes = [data["cause"] for data in ended]
    assert causes == [Cause.COMPLETED if answered else Cause.SUPERSEDED, Cause.COMPLETED]


async def test_a_callback_that_shields_itself_costs_a_new_prompt_no_more_than_the_cleanup(
    autojump_clock: MockClock,
) -> None:
    let_go = trio.Event()

    async def stubborn(event: ChatEvent) -> None:
        if event.trace == "A":
            with trio.move_on_after(1000, shield=True):
                await let_go.wait()

    async with Engine(words).running() as engine:
        engine.bus.subscribe("chat.token", stubborn)
        first = engine.send("A")
        assert await first.read() == b"<open>[A]<end stop>"
        asked_at = trio.current_time()
        assert await engine.send("B").read() == b"<open>[B]<end stop>"
        assert trio.current_time() - asked_at == pytest.approx(CLEANUP_SECONDS)
        let_go.set()
        await engine.assert_nothing_is_left()


async def test_a_sync_callback_that_blocks_holds_nobody_up() -> None:
    """In real time, with a thread that really blocks."""
    let_go = threading.Event()
    blocked = threading.Event()

    def block(event: ChatEvent) -> None:
        blocked.set()
        let_go.wait(30)

    plays = {"A": stuck(), "B": words("b")}
    limits = replace(LIMITS, cleanup_timeout_seconds=0.05)
    try:
        with trio.fail_after(5):
            async with Engine(plays.__getitem__, limits).running() as engine:
                engine.bus.subscribe("chat.token", block)
                first = engine.send("A")
                await trio.to_thread.run_sync(blocked.wait, 5)
                assert await engine.send("B").read() == b"<open>[b]<end stop>"
                assert await first.read() == b"<open>[a]<error superseded>"
                await engine.assert_nothing_is_left()
                assert not let_go.is_set()
    finally:
        let_go.set()


async def test_events_past_the_lag_limit_are_dropped_and_logged(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    """The first 256 wait behind the one in hand; the stream is never held back."""
    heard = Heard()
    let_go = trio.Event()

    async def lag(event: ChatEvent) -> None:
        await let_go.wait()
        await heard.hear(event)

    sent = [f"{number} " for number in range(EVENTS_AHEAD + 11)]
    play = Play(*[step for text in sent for step in (Text(text), 1.0)], Finish("stop"))
    async with Engine(lambda prompt: play).running() as engine:
        engine.bus.subscribe("chat.token", lag)
        client = engine.send("A")
        received = await client.read()
        assert received.count(b"[") == len(sent)
        let_go.set()
        await client.stream.finished.wait()
    assert heard.text() == "".join(sent[: EVENTS_AHEAD + 1])
    dropped = [entry for entry in logged.entries if entry["event"] == "callback_lagging"]
    assert [(entry["trace"], entry["dropped"]) for entry in dropped] == [("A", 10)]
    assert engine.metrics.totals().events_dropped == 10


class Awkward:
    """Callables that are async without being coroutine functions."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    async def __call__(self, event: ChatEvent) -> None:
        await self.heard.hear(event)

    async def with_more(self, more: str, event: ChatEvent) -> None:
        assert more == "more"
        await self.heard.hear(event)


@pytest.mark.parametrize(
    "make",
    [
        lambda awkward: awkward,
        lambda awkward: functools.partial(awkward.with_more, "more"),
        lambda awkward: functools.partial(functools.partial(awkward.with_more), "more"),
        lambda awkward: awkward.heard.hear,
    ],
    ids=["async __call__", "partial", "partial of a partial", "bound method"],
)
async def test_every_kind_of_async_callable_is_awaited(
    autojump_clock: MockClock, make: Callable[[Awkward], Callable[[ChatEvent], Awaitable[None]]]
) -> None:
    heard = Heard()
    async with Engine(lambda prompt: words("a")).running() as engine:
        engine.bus.subscribe("chat.token", make(Awkward(heard)))
        client = engine.send("A")
        await client.stream.finished.wait()
        assert heard.text() == "a"


@pytest.mark.parametrize("kind", ["sync function", "partial of an async object"])
async def test_a_sync_callable_that_returns_an_awaitable_is_refused_in_the_log(
    logged: structlog.testing.LogCapture, kind: str
) -> None:
    """It cannot be told from a sync one beforehand; it must not fail in silence."""
    heard = Heard()
    awkward = Awkward(heard)

    def call(event: ChatEvent) -> Awaitable[None]:
        return awkward(event)

    callback = call if kind == "sync function" else functools.partial(awkward)
    with trio.fail_after(5):
        async with Engine(lambda prompt: words("a")).running() as engine:
            engine.bus.subscribe("chat.token", callback)
            client = engine.send("A")
            assert await client.read() == b"<open>[a]<end stop>"
            await client.stream.finished.wait()
    assert heard.text() == ""
    assert events_in(logged).count("callback_failed") == 1


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("completed", {"cause": "completed", "finish_reason": "length", "usage": Usage(1, 2)}),
        ("superseded", {"cause": "superseded", "finish_reason": None, "usage": None}),
        ("stopped", {"cause": "stopped", "finish_reason": None, "usage": None}),
        ("client_disconnect", {"cause": "client_disconnect", "finish_reason": None, "usage": None}),
    ],
)
async def test_chat_end_tells_the_cause_once_the_tree_has_unwound(
    autojump_clock: MockClock, how: str, expected: dict[str, object]
) -> None:
    heard = Heard()
    upstream_was_closed: list[bool] = []

    async def note(event: ChatEvent) -> None:
        upstream_was_closed.append(("closed", "A") in engine.provider.history)
        await heard.hear(event)

    plays = {
        "A": Play(Text("a"), Usage(1, 2), Finish("length")) if how == "completed" else stuck(),
        "B": stuck(),
    }
    async with Engine(plays.__getitem__).running() as engine:
        engine.bus.subscribe("chat.end", note)
        engine.bus.subscribe("chat.error", note)
        client = engine.send("A")
        await wait_all_tasks_blocked()
        if how == "superseded":
            engine.send("B")
        elif how == "stopped":
            client.stream.cancel(Cause.STOPPED)
        elif how == "client_disconnect":
            client.reader.leave()
        await client.stream.finished.wait()
        await heard.news.wait()
        assert [(event.name, event.trace) for event in heard.events] == [("chat.end", "A")]
        assert heard.events[0].data == expected
        assert upstream_was_closed == [True]


async def test_a_shutdown_tells_chat_end_before_the_bus_closes(
    autojump_clock: MockClock,
) -> None:
    heard = Heard()
    async with Engine(lambda prompt: stuck()).running() as engine:
        engine.bus.subscribe("chat.end", heard.hear)
        engine.send("A")
        await wait_all_tasks_blocked()
        await engine.sessions.close()
        assert [data["cause"] for data in heard.data("chat.end")] == [Cause.SHUTDOWN]


@pytest.mark.parametrize(
    ("error", "cause", "code", "message"),
    [
        (UpstreamEOFError("cut off"), "upstream_eof", "upstream_eof", "cut off"),
        (UpstreamError("broke"), "upstream_error", "upstream_error", "broke"),
        (
            KeyError("bug"),
            "upstream_error",
            "internal_error",
            "the server failed while it made this answer; see its log",
        ),
        (None, "upstream_timeout", "upstream_timeout", "scripted sent nothing for 60 s"),
    ],
)
async def test_chat_error_tells_of_upstream_failures(
    autojump_clock: MockClock, error: Exception | None, cause: str, code: str, message: str
) -> None:
    heard = Heard()
    async with Engine(lambda prompt: Play(Text("a"), error or trio.Event())).running() as engine:
        engine.bus.subscribe("chat.end", heard.hear)
        engine.bus.subscribe("chat.error", heard.hear)
        await engine.send("A").read()
        await heard.news.wait()
        assert [event.name for event in heard.events] == ["chat.error"]
        data = heard.events[0].data
        assert set(data) == {"cause", "code", "message"}
        assert (data["cause"], data["code"]) == (cause, code)
        assert data["message"].startswith(message)


async def test_an_ending_is_told_for_a_bounded_time_and_the_overrun_is_logged(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    """Side by side: the one that hangs takes nothing from the one that listens."""
    heard = Heard()
    async with Engine(lambda prompt: words("a")).running() as engine:
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        engine.bus.subscribe("chat.end", hang)
        engine.bus.subscribe("chat.end", heard.hear)
        await engine.send("A").read()
        await heard.news.wait()
        await trio.sleep(CLEANUP_SECONDS - 0.001)
        assert trio.lowlevel.current_statistics().tasks_living > tasks_before
        await trio.sleep(0.002)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks_before
    lagging = [entry for entry in logged.entries if entry["event"] == "callback_lagging"]
    assert [(entry["trace"], entry["chat_event"]) for entry in lagging] == [("A", "chat.end")]


async def test_a_callback_whose_own_tasks_fail_as_they_are_cancelled_harms_nobody(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    """A group of Cancelled and an error is no Exception: it must not end the service."""

    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    async def cleans_up_badly(event: ChatEvent) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail_when_cancelled)

    plays = {"A": words("a"), "X": words(*"abcdefgh", gap=1)}
    async with Engine(plays.__getitem__).running() as engine:
        engine.bus.subscribe("chat.token", cleans_up_badly)
        engine.bus.subscribe("chat.end", cleans_up_badly)
        other = engine.send("X", session="other")
        client = engine.send("A")
        assert await client.read() == b"<open>[a]<end stop>"
        await client.stream.finished.wait()
        await trio.sleep(CLEANUP_SECONDS + 0.1)
        assert (await other.read()).endswith(b"[h]<end stop>")
        assert other.stream.cause is Cause.COMPLETED
        await engine.assert_nothing_is_left()
    assert "stream_crashed" not in events_in(logged)
    assert events_in(logged).count("callback_failed") >= 2


async def test_unsubscribing_stops_the_calls_also_of_streams_that_run(
    autojump_clock: MockClock,
) -> None:
    heard = Heard()
    other = Heard()
    async with Engine(lambda prompt: words("a", "b", "c", gap=1)).running() as engine:
        unsubscribe = engine.bus.subscribe("chat.token", heard.hear)
        engine.bus.subscribe("chat.token", other.hear)
        client = engine.send("A")
        await trio.sleep(1.5)
        unsubscribe()
        unsubscribe()
        await client.read()
        await client.stream.finished.wait()
        assert heard.text() == "a"
        assert other.text() == "abc"
        await engine.send("A").stream.finished.wait()
        assert heard.text() == "a"
        assert other.text() == "abcabc"


async def test_a_subscriber_hears_only_streams_that_start_after_it(
    autojump_clock: MockClock,
) -> None:
    heard = Heard()
    async with Engine(lambda prompt: words("a", "b", gap=1)).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        engine.bus.subscribe("chat.token", heard.hear)
        await first.read()
        second = engine.send("A", session="second")
        await second.read()
        await second.stream.finished.wait()
        assert {event.stream_id for event in heard.events} == {second.stream.id}


async def test_the_same_callback_subscribed_twice_is_called_twice_and_unsubscribed_once(
    autojump_clock: MockClock,
) -> None:
    heard = Heard()
    async with Engine(lambda prompt: words("a")).running() as engine:
        unsubscribe = engine.bus.subscribe("chat.token", heard.hear)
        engine.bus.subscribe("chat.token", heard.hear)
        await engine.send("A").stream.finished.wait()
        assert heard.text() == "aa"
        unsubscribe()
        await engine.send("A").stream.finished.wait()
        assert heard.text() == "aaa"


def test_closing_is_logged_once_and_refuses_subscribers(
    logged: structlog.testing.LogCapture,
) -> None:
    bus = EventBus()
    unsubscribe = bus.subscribe("chat.end", hang)
    assert bus.has_subscribers("chat.end")
    assert not bus.has_subscribers("chat.token")
    bus.close()
    bus.close()
    assert not bus.has_subscribers("chat.end")
    unsubscribe()
    with pytest.raises(JarvisError, match="closed"):
        bus.subscribe("chat.end", hang)
    assert events_in(logged) == ["events_bus_closed"]


@pytest.mark.parametrize("name", [None, "chat.end", "chat.error", "chat.status", "chat.token"])
async def test_nobody_subscribed_means_no_task_and_no_nursery_at_all(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture, name: Any
) -> None:
    """A stream is one task; a subscriber of what it says on its way is one more."""
    async with Engine(lambda prompt: Play(trio.Event())).running() as engine:
        if name is not None:
            engine.bus.subscribe(name, hang)
        before = trio.lowlevel.current_statistics().tasks_living
        stream = engine.send("A").stream
        await wait_all_tasks_blocked()
        on_the_way = name in ("chat.status", "chat.token")
        assert trio.lowlevel.current_statistics().tasks_living - before == 1 + on_the_way
        assert stream.task is not None
        assert len(stream.task.child_nurseries) == on_the_way
    assert events_in(logged).count("callback_task_created") == on_the_way
    assert events_in(logged).count("cleanup_callback_tasks") == on_the_way


async def test_the_log_counts_the_callbacks_that_a_stream_leaves_at_its_end(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    async with Engine(lambda prompt: stuck()).running() as engine:
        engine.bus.subscribe("chat.token", hang)
        engine.bus.subscribe("chat.token", hang)
        client = engine.send("A")
        await wait_all_tasks_blocked()
        client.stream.cancel(Cause.STOPPED)
        await client.stream.finished.wait()
    counts = [e["count"] for e in logged.entries if e["event"] == "cleanup_callback_tasks"]
    assert counts == [2]
