"""One stream's tree: its deadlines, its failures, and one terminal marker in every case (I5)."""

import gc
import re
import weakref
from typing import Any, Self

import pytest
import structlog
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import (
    JarvisError,
    ModelNotFoundError,
    UpstreamBusyError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import Cause, Finish, Phase, Text
from tests.engine.engine import LIMITS, Client, Engine
from tests.scripted import PlainEncoder, Play, Step, ask, words


def for_ever() -> trio.Event:
    return trio.Event()


def send_with(engine: Engine, make_encoder: type[PlainEncoder], prompt: str = "A") -> Client:
    return Client(
        engine.sessions.submit(Prompt(ask(prompt), "me", "s", prompt, make_encoder)),
    )


def assert_one_terminal_marker(received: bytes) -> None:
    markers = re.findall(rb"<(?:end|error) [a-z_]+>", received)
    assert len(markers) == 1
    assert received.endswith(markers[0])


@pytest.fixture
def tracebacks() -> structlog.testing.LogCapture:
    """Every log event, with its traceback as the text it would have in the log."""
    capture = structlog.testing.LogCapture()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, capture],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        cache_logger_on_first_use=False,
    )
    return capture


@pytest.mark.parametrize(
    ("play", "accepted", "phase"),
    [
        (Play(before_accept=[for_ever()]), False, "connect"),
        (Play(for_ever()), True, "prefill"),
        (Play(for_ever(), before_accept=[119.0]), True, "prefill"),
        (Play(1.5, Text("too late"), before_accept=[119.0]), True, "prefill"),
    ],
    ids=["connect", "prefill", "both together", "a second too late"],
)
async def test_an_upstream_that_gives_no_first_token_in_time_is_given_up(
    autojump_clock: MockClock, play: Play, accepted: bool, phase: str
) -> None:
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        assert await client.read() == b"<open><error upstream_timeout>"
        stream = client.stream
        assert trio.current_time() - client.started == pytest.approx(120)
        assert (stream.cause, stream.accepted) == (Cause.UPSTREAM_TIMEOUT, accepted)
        assert isinstance(stream.error, UpstreamTimeoutError)
        assert stream.error.message == (
            f"scripted sent nothing for 120 s while we waited for a first token ({phase})"
        )
        await engine.assert_nothing_is_left()


async def test_a_first_token_just_in_time_is_in_time(autojump_clock: MockClock) -> None:
    play = Play(60.0, Text("a"), Finish("stop"), before_accept=[59.9])
    async with Engine(lambda prompt: play).running() as engine:
        assert await engine.send("A").read() == b"<open>[a]<end stop>"


async def test_an_upstream_that_falls_silent_is_given_up_after_the_idle_timeout(
    autojump_clock: MockClock,
) -> None:
    play = Play(50.0, Text("a"), 1.0, Text("b"), for_ever())
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        assert await client.read() == b"<open>[a][b]<error upstream_timeout>"
        assert trio.current_time() - client.started == pytest.approx(
            51 + 60 + LIMITS.flush_window_seconds
        )
        assert client.stream.error is not None
        assert client.stream.error.message == (
            "scripted sent nothing for 60 s while we waited for the next token (decode)"
        )
        await engine.assert_nothing_is_left()


async def test_an_upstream_that_is_slow_but_alive_is_never_given_up(
    autojump_clock: MockClock,
) -> None:
    play = words(*"abcdefgh", gap=59.9)
    async with Engine(lambda prompt: play).running() as engine:
        assert (await engine.send("A").read()).endswith(b"[h]<end stop>")


async def test_the_idle_time_does_not_run_while_readers_hold_the_stream_back(
    autojump_clock: MockClock,
) -> None:
    """A slow reader is not the upstream's fault: an hour later it is served to the end."""
    lines = [f"line {number} " for number in range(100)]
    play = Play(*map(Text, lines), Finish("stop"))
    limits = replace(LIMITS, replay_limit_bytes=20, flush_bytes=1)
    async with Engine(lambda prompt: play, limits).running() as engine:
        client = engine.send("A")
        await trio.sleep(3600)
        assert client.stream.cause is None
        assert engine.provider.open == 1  # it is the upstream that is held back
        received = await client.read()
        assert (
            re.sub(rb"[][]", b"", received) == b"<open>" + "".join(lines).encode() + b"<end stop>"
        )
        await engine.assert_nothing_is_left()


async def test_the_idle_time_begins_anew_when_the_readers_let_go(
    autojump_clock: MockClock,
) -> None:
    play = Play(*[Text("x" * 20)] * 30, for_ever())
    limits = replace(LIMITS, replay_limit_bytes=20, flush_bytes=1)
    async with Engine(lambda prompt: play, limits).running() as engine:
        client = engine.send("A")
        await trio.sleep(3600)
        let_go_at = trio.current_time()
        assert (await client.read()).endswith(b"<error upstream_timeout>")
        assert trio.current_time() - let_go_at == pytest.approx(60 + LIMITS.flush_window_seconds)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (UpstreamError("it broke", said="secret"), Cause.UPSTREAM_ERROR),
        (UpstreamBusyError("loading"), Cause.UPSTREAM_ERROR),
        (UpstreamEOFError("cut off"), Cause.UPSTREAM_EOF),
        (UpstreamTimeoutError("too slow"), Cause.UPSTREAM_TIMEOUT),
    ],
    ids=lambda value: getattr(value, "code", str(value)),
)
async def test_an_upstream_that_fails_in_the_middle_leaves_its_text_and_its_error(
    autojump_clock: MockClock,
    logged: structlog.testing.LogCapture,
    error: UpstreamError,
    cause: Cause,
) -> None:
    play = Play(Text("a"), 0.5, Text("b"), error)
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        assert await client.read() == f"<open>[a][b]<error {error.code}>".encode()
        assert client.stream.cause is cause
        assert client.stream.error is error
        await engine.assert_nothing_is_left()
    failed = [entry for entry in logged.entries if entry["event"] == "stream_failed"]
    assert [(entry["code"], entry["error"]) for entry in failed] == [(error.code, error.summary)]
    assert "secret" not in repr(logged.entries)


async def test_a_refusal_before_the_answer_is_known_when_the_stream_settles(
    autojump_clock: MockClock,
) -> None:
    error = ModelNotFoundError("no such model")
    async with Engine(lambda prompt: Play(before_accept=[0.5, error])).running() as engine:
        client = engine.send("A")
        await client.stream.settled.wait()
        assert trio.current_time() - client.started == pytest.approx(0.5)
        assert not client.stream.accepted
        assert client.stream.error is error
        assert await client.read() == b"<open><error model_not_found>"


@pytest.mark.parametrize(
    ("steps", "before_accept", "text"),
    [
        ([], [ZeroDivisionError("boom")], b""),
        ([ZeroDivisionError("boom")], [], b""),
        ([Text("a"), 1.0, Text("b"), ZeroDivisionError("boom")], [], b"[a][b]"),
    ],
    ids=["connect", "prefill", "decode"],
)
async def test_a_provider_that_crashes_harms_nobody_else(
    autojump_clock: MockClock,
    tracebacks: structlog.testing.LogCapture,
    steps: list[Step],
    before_accept: list[Step],
    text: bytes,
) -> None:
    """The reader gets what there was and an internal_error; the log gets the traceback."""
    plays = {
        "A": Play(*steps, before_accept=before_accept),
        "X": words("fi", "ne", gap=2),
        "B": words("next"),
    }
    async with Engine(plays.__getitem__).running() as engine:
        other = engine.send("X", session="other")
        client = engine.send("A")
        assert await client.read() == b"<open>" + text + b"<error internal_error>"
        assert await other.read() == b"<open>[fi][ne]<end stop>"
        assert await engine.send("B").read() == b"<open>[next]<end stop>"
        await engine.assert_nothing_is_left()
    crashed = [entry for entry in tracebacks.entries if entry["event"] == "stream_crashed"]
    assert [entry["trace"] for entry in crashed] == ["A"]
    assert "ZeroDivisionError: boom" in crashed[0]["exception"]
    assert "scripted.py" in crashed[0]["exception"]


class Breaks(PlainEncoder):
    """An encoder with a bug in one of its calls."""

    broken = ""

    def _break(self, call: str) -> None:
        if self.broken == call:
            raise ZeroDivisionError(call)

    def opening(self) -> bytes:
        self._break("opening")
        return super().opening()

    def deltas(self, deltas: object) -> bytes:
        self._break("deltas")
        return super().deltas(deltas)  # type: ignore[arg-type]

    def finish(self, reason: str, usage: object) -> bytes:
        self._break("finish")
        return super().finish(reason, usage)

    def error(self, error: JarvisError) -> bytes:
        self._break("error")
        return super().error(error)


@pytest.mark.parametrize(
    ("call", "play", "received"),
    [
        ("opening", words("a"), b"<error internal_error>"),
        ("deltas", words("a"), b"<open><error internal_error>"),
        ("finish", words("a"), b"<open>[a]<error internal_error>"),
        ("error", Play(Text("a"), UpstreamEOFError("cut")), b"<open>[a]"),
    ],
    ids=["opening", "deltas", "finish", "error"],
)
async def test_an_encoder_that_crashes_leaves_no_reader_waiting(
    autojump_clock: MockClock,
    tracebacks: structlog.testing.LogCapture,
    call: str,
    play: Play,
    received: bytes,
) -> None:
    encoder = type("Broken", (Breaks,), {"broken": call})
    plays = {"A": play, "B": words("next")}
    async with Engine(plays.__getitem__).running() as engine:
        client = send_with(engine, encoder)
        with trio.fail_after(10):
            assert await client.read() == received
        assert await engine.send("B").read() == b"<open>[next]<end stop>"
        await engine.assert_nothing_is_left()
    assert f"ZeroDivisionError: {call}" in str(tracebacks.entries)


async def test_an_encoder_that_crashes_at_the_last_text_changes_no_ending(
    autojump_clock: MockClock, tracebacks: structlog.testing.LogCapture
) -> None:
    """What had come in the window that a stop ends is framed while it is being cancelled."""

    class BreaksLater(PlainEncoder):
        def deltas(self, deltas: Any) -> bytes:
            if deltas[0].text == "b":
                raise ZeroDivisionError
            return super().deltas(deltas)

    plays = {"A": Play(Text("a"), 0.01, Text("b"), for_ever()), "B": words("next")}
    async with Engine(plays.__getitem__).running() as engine:
        client = send_with(engine, BreaksLater)
        await trio.sleep(0.02)
        client.stream.cancel(Cause.STOPPED)
        assert await client.read() == b"<open>[a]<error stopped>"
        assert await engine.send("B").read() == b"<open>[next]<end stop>"
        await engine.assert_nothing_is_left()
    assert "ZeroDivisionError" in str(tracebacks.entries)


async def test_a_prompt_whose_encoder_cannot_be_made_takes_no_place(
    autojump_clock: MockClock,
) -> None:
    class Unmade(PlainEncoder):
        def __init__(self, stream_id: str) -> None:
            raise ZeroDivisionError

    async with Engine(words).running() as engine:
        with pytest.raises(ZeroDivisionError):
            send_with(engine, Unmade)
        await engine.assert_nothing_is_left()


ENDINGS = {
    "completed": words("a", "b"),
    "empty": Play(Finish("stop")),
    "no answer at all": Play(before_accept=[UpstreamBusyError("busy")]),
    "upstream error": Play(Text("a"), UpstreamError("broke")),
    "upstream eof": Play(Text("a"), 0.5, UpstreamEOFError("cut")),
    "first token timeout": Play(for_ever()),
    "idle timeout": Play(Text("a"), for_ever()),
    "crash": Play(Text("a"), KeyError("bug")),
    "error after the finish": Play(Text("a"), Finish("stop"), UpstreamError("late")),
}


@pytest.mark.parametrize("play", ENDINGS.values(), ids=ENDINGS)
async def test_every_ending_has_exactly_one_terminal_marker(
    autojump_clock: MockClock, play: Play
) -> None:
    """I5."""
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        assert_one_terminal_marker(await client.read())
        await client.stream.finished.wait()
        client.stream.conclude()
        client.stream.cancel(Cause.STOPPED)
        client.stream.fail(UpstreamError("too late"))
        client.stream.conclude()
        assert await client.read_one() == b""
        await engine.assert_nothing_is_left()


@pytest.mark.parametrize("play", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("after", [0, 0.0001, 0.03, 0.5, 60])
async def test_a_stop_at_any_moment_leaves_exactly_one_terminal_marker(
    autojump_clock: MockClock, play: Play, after: float
) -> None:
    """I5: whichever of the two endings came first is the one that is told."""
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        await trio.sleep(after)
        client.stream.cancel(Cause.STOPPED)
        received = await client.read()
        assert_one_terminal_marker(received)
        assert (client.stream.cause is Cause.STOPPED) == received.endswith(b"<error stopped>")
        await engine.assert_nothing_is_left()


async def test_a_stream_superseded_at_its_very_first_step_asks_nothing_of_the_upstream(
    autojump_clock: MockClock,
) -> None:
    """Cancelled by its own predecessor's end: between its turn and its beginning."""
    play = Play(Text("a"), for_ever())
    plays = {"A": play, "B": words("b"), "C": words("c")}
    async with Engine(plays.__getitem__).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B")
        await first.stream.finished.wait()
        third = engine.send("C")
        assert await third.read() == b"<open>[c]<end stop>"
        received = await second.read()
        assert_one_terminal_marker(received)
        # Whichever task trio woke first, B and C were never upstream side by side.
        assert engine.provider.max_open == 1
        await engine.assert_nothing_is_left()


async def test_a_first_token_limit_counts_from_the_stream_s_own_start(
    autojump_clock: MockClock,
) -> None:
    """The time in which a predecessor unwinds is not the upstream's."""
    let_go = trio.Event()
    plays = {
        "A": Play(for_ever(), close_hangs_until=let_go),
        "B": Play(119.0, Text("b"), Finish("stop")),
    }
    async with Engine(plays.__getitem__).running() as engine:
        engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B")
        await trio.sleep(1.9)
        assert second.stream.phase is Phase.QUEUED
        let_go.set()
        assert await second.read() == b"<open>[b]<end stop>"


class HangsAtTheDoor:
    """An upstream whose dialling nothing can cancel, until it is let go of."""

    def __init__(self, let_go: trio.Event) -> None:
        self.let_go = let_go

    async def __aenter__(self) -> Self:
        with trio.move_on_after(1000, shield=True):
            await self.let_go.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def receive(self) -> list[Text]:
        with trio.move_on_after(1000, shield=True):
            await trio.lowlevel.checkpoint()
        return [Text("late")]


async def test_what_a_quarantined_stream_does_later_changes_nothing_any_more(
    autojump_clock: MockClock,
) -> None:
    """I4: it has lost its output; it ended when it was quarantined, and stays ended."""
    let_go = trio.Event()
    async with Engine(words).running() as engine:
        provider: Any = engine.provider
        play_chat = provider.chat
        provider.chat = lambda request: HangsAtTheDoor(let_go)
        first = engine.send("A")
        await wait_all_tasks_blocked()
        provider.chat = play_chat
        assert await engine.send("B").read() == b"<open>[B]<end stop>"
        assert first.stream.quarantined
        assert first.stream.phase is Phase.ENDED
        settled_as = first.stream.accepted
        let_go.set()
        phases = set()
        while not first.stream.finished.is_set():
            await trio.lowlevel.checkpoint()
            phases.add(first.stream.phase)
        assert phases == {Phase.ENDED}
        assert first.stream.accepted == settled_as
        assert await first.read() == b"<open><error superseded>"
        await engine.assert_nothing_is_left()


async def test_streams_that_have_ended_are_not_kept_in_memory(autojump_clock: MockClock) -> None:
    """I6: without waiting for the garbage collector's rounds."""

    async def one(engine: Engine, prompt: str) -> weakref.ref[LiveStream]:
        client = engine.send(prompt)
        await client.read()
        client.reader.leave()
        await client.stream.finished.wait()
        return weakref.ref(client.stream)

    def script(prompt: str) -> Play:
        return words("a", "b") if prompt == "A" else Play(Text("a"), UpstreamEOFError("cut"))

    async with Engine(script).running() as engine:
        gc.disable()
        try:
            gone = await one(engine, "A")
            await trio.sleep(1)
            assert gone() is None
            failed = await one(engine, "E")
            await trio.sleep(1)
            assert failed() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("before", [[], [Text("a")]], ids=["the-first-token", "the-next-token"])
async def test_what_comes_while_the_process_stands_still_is_no_timeout(
    autojump_clock: MockClock, before: list[Text]
) -> None:
    """A container that is paused, say; what the upstream has sent meanwhile waits in the kernel."""
    play = Play(*before, 0.5, Text("b"), 0.5, Finish("stop"))
    async with Engine(lambda _: play).running() as engine:
        client = engine.send("A")
        await trio.sleep(0.1)
        autojump_clock.jump(1000)
        assert (await client.read()).endswith(b"[b]<end stop>")
        await engine.assert_nothing_is_left()
