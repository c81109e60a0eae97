"""Framing: the first text at once, then one frame per window at most, and nothing lost."""

from collections.abc import Sequence

import hypothesis
import pytest
import structlog
import trio
from hypothesis import strategies as st
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.event_bus import EventBus
from jarvis_trio.engine.history import History
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.recorder import Recorder
from jarvis_trio.engine.replay import Reader
from jarvis_trio.engine.run import StreamRunner
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.engine.window import Window
from jarvis_trio.errors import JarvisError, UpstreamEOFError
from jarvis_trio.events import (
    Cause,
    ChatEvent,
    ChatRequest,
    Delta,
    Finish,
    FinishReason,
    Phase,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.store.memory import MemoryStore
from tests.engine.engine import LIMITS, Client, Engine
from tests.scripted import Play, Script, ScriptedAnswer, ScriptedProvider, Step, ask


class Exact:
    """Frames that hold nothing but what was framed, so that joined frames can be compared."""

    def __init__(self, stream_id: str) -> None:
        self.frames: list[bytes] = []

    def opening(self) -> bytes:
        return b""

    def deltas(self, deltas: list[Text | Reasoning | ToolCall]) -> bytes:
        self.frames.append("".join(map(plain, deltas)).encode())
        return self.frames[-1]

    def finish(self, reason: FinishReason, usage: Usage | None) -> bytes:
        return b""

    def error(self, error: JarvisError) -> bytes:
        return b""

    def split(self, frames: bytes) -> list[bytes]:
        return [frames]


def plain(delta: Delta) -> str:
    match delta:
        case Text(text) | Reasoning(text):
            return text
        case ToolCall(arguments=arguments):
            return arguments
    return ""


def new_stream(replay_limit_bytes: int = 1 << 20) -> LiveStream:
    return LiveStream(
        Prompt(ask("p"), "me", "s", "trace", Exact), replay_limit_bytes, lambda _: None
    )


def framed(stream: LiveStream) -> str:
    assert isinstance(stream.encoder, Exact)
    return b"".join(stream.encoder.frames).decode()


def by_time(client: Client) -> dict[float, bytes]:
    """What arrived when; what arrived in one moment is one."""
    joined: dict[float, bytes] = {}
    for time, frame in client.frames:
        joined[time] = joined.get(time, b"") + frame
    return joined


async def read_play(*steps: Step, **limits: float) -> dict[float, bytes]:
    play = Play(*steps)
    async with Engine(lambda prompt: play, replace(LIMITS, **limits)).running() as engine:
        client = engine.send("A")
        await client.read()
        await engine.assert_nothing_is_left()
        return by_time(client)


async def test_the_first_text_goes_out_at_the_moment_it_arrives(
    autojump_clock: MockClock,
) -> None:
    times = await read_play(0.3, Text("a"), 5.0, Finish("stop"))
    assert times == {0: b"<open>", 0.3: b"[a]", 5.3: b"<end stop>"}


async def test_text_waits_for_the_window_that_the_frame_before_it_opened_and_no_longer(
    autojump_clock: MockClock,
) -> None:
    times = await read_play(
        Text("a"), 0.5, Text("b"), 0.05, Text("c"), 0.05, Text("d"), 1.0, Finish("stop")
    )
    assert times == {
        0: b"<open>[a]",
        0.5: b"[b]",
        0.575: b"[c]",
        0.65: b"[d]",
        1.6: b"<end stop>",
    }


async def test_text_that_keeps_coming_is_one_frame_per_window(
    autojump_clock: MockClock,
) -> None:
    steady: list[Step] = []
    for number in range(20):
        steady += [0.02, Text(str(number % 10))]
    times = await read_play(Text("a"), *steady, 0.02, Finish("stop"))
    assert times == {
        0: b"<open>[a]",
        0.075: b"[012]",
        0.15: b"[3456]",
        0.225: b"[7890]",
        0.3: b"[1234]",
        0.375: b"[567]",
        0.42: b"[89]<end stop>",
    }


@pytest.mark.parametrize("fill", ["x" * 1024, "é" * 512, "€" * 341 + "x"])
async def test_a_read_of_more_than_flush_bytes_opens_no_window_and_exactly_flush_bytes_does(
    autojump_clock: MockClock, fill: str
) -> None:
    assert len(fill.encode()) == LIMITS.flush_bytes
    more: Step = [Text(fill), Text("m")]
    times = await read_play(
        Text("a"), 0.5, Text(fill), 0.01, Text("y"), 1.0, more, 0.01, Text("z"), 1.0, Finish("stop")
    )
    assert times == {
        0: b"<open>[a]",
        0.5: f"[{fill}]".encode(),
        0.575: b"[y]",
        1.51: f"[{fill}m]".encode(),
        1.52: b"[z]",
        2.52: b"<end stop>",
    }


async def test_one_read_over_flush_bytes_is_one_frame_at_once(autojump_clock: MockClock) -> None:
    read = [Text("x" * 800), Text("y" * 800)]
    times = await read_play(Text("a"), 0.5, list(read), 1.0, Finish("stop"))
    assert times[0.5] == b"[" + b"x" * 800 + b"y" * 800 + b"]"


async def test_the_end_flushes_at_once(autojump_clock: MockClock) -> None:
    times = await read_play(
        Text("a"), 0.5, Text("b"), 0.01, Text("c"), 0.01, Finish("length"), 0.01, Usage(1, 2)
    )
    assert times == {0: b"<open>[a]", 0.5: b"[b]", 0.52: b"[c]", 0.53: b"<end length>"}


async def test_an_error_flushes_what_came_before_it(autojump_clock: MockClock) -> None:
    times = await read_play(
        Text("a"), 0.5, Text("b"), 0.01, Text("c"), 0.01, UpstreamEOFError("cut off")
    )
    assert times == {0: b"<open>[a]", 0.5: b"[b]", 0.52: b"[c]<error upstream_eof>"}


async def test_a_window_of_no_length_sends_every_read_by_itself(autojump_clock: MockClock) -> None:
    times = await read_play(
        Text("a"), 0.01, Text("b"), 0.01, Text("c"), 0.01, Finish("stop"), flush_window_seconds=0
    )
    assert times == {0: b"<open>[a]", 0.01: b"[b]", 0.02: b"[c]", 0.03: b"<end stop>"}


async def test_finish_and_usage_never_make_frames_nor_open_windows(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    play = Play(Usage(1, 0), Text("a"), 0.5, Finish("length"), 0.5, Usage(7, 8), 0.5)
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        await client.read()
        assert by_time(client) == {0: b"<open>[a]", 1.5: b"<end length>"}
        answer = client.stream.answer.completion()
        assert (answer.finish_reason, answer.usage) == ("length", Usage(7, 8))
    assert [entry["event"] for entry in logged.entries].count("flush_scheduled") == 1


async def test_reasoning_counts_as_text(autojump_clock: MockClock) -> None:
    """It is the first text of its stream, it fills windows and it is flushed by its size."""
    play = Play(
        Reasoning("hm"),
        0.5,
        Reasoning("so"),
        0.01,
        Text("a"),
        0.5,
        Reasoning("z" * 1025),
        1.0,
        Finish("stop"),
    )
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        await client.read()
        assert by_time(client) == {
            0: b"<open>[hm]",
            0.5: b"[so]",
            0.575: b"[a]",
            1.01: b"[" + b"z" * 1025 + b"]",
            2.01: b"<end stop>",
        }
        assert client.stream.answer.completion().text == "a"
        assert client.stream.answer.completion().reasoning == "hmso" + "z" * 1025


async def test_tool_calls_survive_whole(autojump_clock: MockClock) -> None:
    arguments = '{"city": "' + "x" * 1100 + '"}'
    play = Play(
        ToolCall(0, "call_0", "weather", arguments[:5]),
        0.5,
        ToolCall(1, "call_1", "time"),
        ToolCall(0, arguments=arguments[5:20]),
        0.5,
        ToolCall(0, arguments=arguments[20:]),
        0.5,
        Finish("tool_calls"),
    )
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        await client.read()
        assert by_time(client) == {
            0: b"<open>[tool]",
            0.5: b"[tooltool]",
            1: b"[tool]",
            1.5: b"<end tool_calls>",
        }
        assert client.stream.answer.completion().tool_calls == (
            ToolCall(0, "call_0", "weather", arguments),
            ToolCall(1, "call_1", "time"),
        )


async def test_a_cancel_flushes_what_has_come_in_the_window(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    play = Play(Text("a"), 0.5, Text("b"), 0.01, Text("cd"), trio.Event())
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("A")
        await trio.sleep(0.52)
        client.stream.cancel(Cause.STOPPED)
        await client.read()
        assert client.received == b"<open>[a][b][cd]<error stopped>"
        assert trio.current_time() == pytest.approx(client.started + 0.52)
    told = [(entry["event"], entry.get("size")) for entry in logged.entries]
    assert ("flush_cancelled", None) in told
    assert ("flush_on_cleanup", 2) in told


async def test_a_stalled_reader_whose_buffer_is_full_loses_nothing_of_a_cancelled_window(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    """The stream waits for its reader; what was read, and what has come since, is in the answer."""
    play = Play(Text("first"), 0.01, Text("ab"), 0.01, Text("c"), 0.01, Text("d"), trio.Event())
    limits = replace(LIMITS, replay_limit_bytes=1)
    async with Engine(lambda prompt: play, limits).running() as engine:
        client = engine.send("A")
        await trio.sleep(1)
        client.stream.cancel(Cause.STOPPED)
        await client.stream.finished.wait()
        assert await client.read() == b"<open>[first][abcd]<error stopped>"
        assert client.stream.answer.completion().text == "firstabcd"
        await engine.assert_nothing_is_left()
    told = [(entry["event"], entry.get("size")) for entry in logged.entries]
    assert ("flush_on_cleanup", 4) in told
    assert ("flush_cancelled", None) not in told


async def test_a_lagging_reader_holds_the_upstream_back_and_not_the_frames_it_already_has(
    autojump_clock: MockClock,
) -> None:
    """One read more than its buffer holds is taken from the upstream, in however long a time."""
    read: Step = [Text("x" * 600), Text("y" * 600)]
    play = Play(*[read] * 100, Finish("stop"))
    limits = replace(LIMITS, replay_limit_bytes=3000)
    async with Engine(lambda prompt: play, limits).running() as engine:
        client = engine.send("A")
        await trio.sleep(3600)
        stream = client.stream
        frames = len("<open>") + 3 * len("[]" + 1200 * "x")
        assert stream.replay.appended_bytes == frames
        assert (stream.phase, engine.provider.open) == (Phase.DECODE, 1)
        await client.read_one()
        await wait_all_tasks_blocked()
        assert stream.replay.appended_bytes > frames
        assert (await client.read()).endswith(b"<end stop>")
        assert client.received.count(b"[") == 100
        await engine.assert_nothing_is_left()


async def test_the_log_tells_each_flush_with_its_size(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    await read_play(
        Text("a"), 0.5, Text("bc"), 0.5, [Text("x" * 1000), Text("y" * 99)], 0.5, Text("z")
    )
    told = [
        (entry["event"], entry.get("size", entry.get("tokens_sent")))
        for entry in logged.entries
        if entry["event"].startswith("flush_")
    ]
    assert told == [
        ("flush_start", 3),
        ("flush_done", 1),
        ("flush_scheduled", None),
        ("flush_start", 4),
        ("flush_done", 1),
        ("flush_scheduled", None),
        ("flush_start", 1101),
        ("flush_done", 2),
        ("flush_immediate", 1099),
        ("flush_start", 3),
        ("flush_done", 1),
        ("flush_scheduled", None),
        ("flush_on_end", None),
    ]


async def test_a_reader_that_lags_at_the_end_keeps_the_stream_in_flush(
    autojump_clock: MockClock,
) -> None:
    play = Play(Text("a"), Text("x" * 200), Finish("stop"))
    limits = replace(LIMITS, replay_limit_bytes=100)
    async with Engine(lambda prompt: play, limits).running() as engine:
        client = engine.send("A")
        await wait_all_tasks_blocked()
        assert client.stream.phase is Phase.FLUSH
        assert engine.provider.open == 0
        assert (await client.read()).endswith(b"<end stop>")


PIECES = st.one_of(
    st.integers(0, 30).map(lambda size: ("text", size)),
    st.integers(0, 30).map(lambda size: ("reasoning", size)),
    st.integers(0, 30).map(lambda size: ("tool", size)),
    st.just(("finish", 0)),
    st.just(("usage", 0)),
)
SLEEPS = st.sampled_from([0.0, 0.001, 0.03, 0.075, 0.08, 0.2])
SENDS = st.lists(st.tuples(SLEEPS, st.lists(PIECES, min_size=1, max_size=4)), max_size=25)


def make_deltas(sends: Sequence[tuple[float, list[tuple[str, int]]]]) -> list[list[Delta]]:
    """Every piece begins with its own number, so that no two are alike."""
    reads: list[list[Delta]] = []
    number = 0
    for _, pieces in sends:
        reads.append([])
        for kind, size in pieces:
            number += 1
            text = f"{number};" + "é" * size
            kinds: dict[str, Delta] = {
                "text": Text(text),
                "reasoning": Reasoning(text),
                "tool": ToolCall(0, arguments=text),
                "finish": Finish("stop"),
                "usage": Usage(1, 1),
            }
            reads[-1].append(kinds[kind])
    return reads


class NotedAnswer(ScriptedAnswer):
    """Notes what the stream has taken from it."""

    provider: "Noted"

    async def receive(self) -> list[Delta]:
        deltas = await super().receive()
        self.provider.taken.extend(deltas)
        return deltas

    def receive_nowait(self) -> list[Delta]:
        deltas = super().receive_nowait()
        self.provider.taken.extend(deltas)
        return deltas


class Noted(ScriptedProvider):
    """A provider whose answers note what is taken."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.taken: list[Delta] = []

    def chat(self, request: ChatRequest) -> NotedAnswer:
        return NotedAnswer(self, "A", self.script("A"))


class CancelAtStep(trio.abc.Instrument):
    """Cancels a stream in the middle of a step of its own: at its next await, whichever that is."""

    def __init__(self, stream: LiveStream, step: int) -> None:
        self.stream = stream
        self.task = trio.lowlevel.current_task()
        self.steps_left = step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps_left -= task is self.task
        if self.steps_left == 0:
            self.stream.cancel(Cause.STOPPED)


class Trial:
    """One stream between an upstream that pauses and a reader that may be slow or absent."""

    def __init__(self, sends: list[tuple[float, list[Delta]]]) -> None:
        steps = [step for pause, deltas in sends for step in (pause, deltas)]
        self.cancel_after: float | None = None
        self.cancel_at_step = -1
        self.reader_pause: float | None = 0.0
        self.is_heard = False
        self.provider = Noted(lambda _: Play(*steps, Finish("stop")))
        self.received = b""
        self.heard = ""

    async def read(self, reader: Reader, pause: float) -> None:
        while data := await reader.receive(7):
            assert len(data) <= 7
            self.received += data
            await trio.sleep(pause)

    async def hear(self, event: ChatEvent) -> None:
        self.heard += event.data["text"]

    async def run(self, replay_limit: int) -> LiveStream:
        bus = EventBus()
        if self.is_heard:
            bus.subscribe("chat.token", self.hear)
        stream = new_stream(replay_limit)
        reader = stream.attach()
        async with trio.open_nursery() as nursery:
            if self.reader_pause is not None:
                nursery.start_soon(self.read, reader, self.reader_pause)
            if self.cancel_after is not None:
                stream.scope.deadline = trio.current_time() + self.cancel_after
            trio.lowlevel.add_instrument(CancelAtStep(stream, self.cancel_at_step))
            with stream.scope:
                recorder = Recorder(History(MemoryStore(), Metrics()), 4000)
                await StreamRunner(self.provider, LIMITS, Window(0.075), bus, recorder).run(
                    stream, upstream_is_left=lambda: None
                )
            stream.conclude()
        assert self.provider.open == 0
        return stream


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
    sends=SENDS,
    cancel_after=st.none() | st.sampled_from([0.0, 0.0001, 0.075, 0.15]) | st.floats(0, 2),
    reader_pause=st.sampled_from([None, 0.0, 0.01, 0.3]),
    replay_limit=st.sampled_from([1, 40, 1 << 20]),
    is_heard=st.booleans(),
)
def test_whatever_is_sent_and_cancelled_the_frames_are_exactly_what_was_taken(
    sends: list[tuple[float, list[tuple[str, int]]]],
    cancel_after: float | None,
    reader_pause: float | None,
    replay_limit: int,
    is_heard: bool,
) -> None:
    """Never reordered, lost or framed twice; without a cancel it is all that was sent."""
    if cancel_after is None and reader_pause is None:
        reader_pause = 0.0  # a reader that never reads is only ever ended by a cancel
    reads = make_deltas(sends)
    pauses = [pause for pause, _ in sends]
    trial = Trial(list(zip(pauses, reads, strict=True)))
    trial.cancel_after, trial.reader_pause, trial.is_heard = cancel_after, reader_pause, is_heard
    stream = trio.run(trial.run, replay_limit, clock=MockClock(autojump_threshold=0))
    whole = "".join(plain(delta) for deltas in reads for delta in deltas)
    sent = framed(stream)
    assert sent == "".join(map(plain, trial.provider.taken))
    assert whole.startswith(sent)
    if cancel_after is None:
        assert sent == whole
    if reader_pause is not None:
        assert trial.received.decode() == sent
    answer = stream.answer.completion()
    taken_texts = [delta.text for delta in trial.provider.taken if isinstance(delta, Text)]
    assert answer.text == "".join(taken_texts)
    assert answer.reasoning == "".join(
        d.text for d in trial.provider.taken if isinstance(d, Reasoning)
    )
    if is_heard and cancel_after is None:
        assert trial.heard == answer.text


@pytest.mark.parametrize("replay_limit", [1, 1 << 20])
def test_a_cancel_at_any_await_loses_nothing_that_was_taken(replay_limit: int) -> None:
    """Every await there is, one after the other, until the answer ends before its cancel."""
    sends: list[tuple[float, list[Delta]]] = [
        (0.03, [Text(f"{number};"), Reasoning(f"{number}?")]) for number in range(12)
    ]
    whole = "".join(plain(delta) for _, deltas in sends for delta in deltas)
    lengths = []
    for step in range(1, 200):
        trial = Trial(sends)
        trial.cancel_at_step, trial.reader_pause = step, 0.05
        stream = trio.run(trial.run, replay_limit, clock=MockClock(autojump_threshold=0))
        sent = framed(stream)
        assert sent == "".join(map(plain, trial.provider.taken)) == trial.received.decode()
        assert whole.startswith(sent)
        lengths.append(len(sent))
        if stream.cause is Cause.COMPLETED:
            break
    assert sent == whole
    assert len(set(lengths)) > 4


async def test_the_window_is_no_silence_of_the_upstreams(autojump_clock: MockClock) -> None:
    """Nobody listens in it: an idle timeout that is shorter finds no fault."""
    steady: list[Step] = []
    for _ in range(20):
        steady += [0.02, Text("x")]
    times = await read_play(
        *steady, Finish("stop"), flush_window_seconds=0.2, idle_timeout_seconds=0.1
    )
    assert times[max(times)].endswith(b"<end stop>")
