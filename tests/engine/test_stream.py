"""One stream's state: who may end it, what is kept of it, and what the log says."""

from collections.abc import Callable

import hypothesis
import pytest
import structlog
import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import (
    JarvisError,
    ServerShutdownError,
    StoppedError,
    SupersededError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import Cause, Completion, Finish, Phase, Reasoning, Text, ToolCall, Usage
from tests.engine.engine import Client
from tests.scripted import PlainEncoder, ask


def new_stream(on_cancelled: Callable[[LiveStream], None] = lambda _: None) -> LiveStream:
    prompt = Prompt(ask("p"), "me", "s", "trace", PlainEncoder)
    return LiveStream(prompt, 1000, on_cancelled)


async def test_the_first_cause_stays_and_the_first_cancel_is_what_the_cleanup_counts_from(
    autojump_clock: MockClock,
) -> None:
    cancelled: list[LiveStream] = []
    stream = new_stream(cancelled.append)
    stream.cancel(Cause.STOPPED)
    await trio.sleep(1)
    stream.cancel(Cause.SUPERSEDED, SupersededError("str_2"))
    stream.fail(UpstreamEOFError("too late"))
    assert stream.cause is Cause.STOPPED
    assert isinstance(stream.error, StoppedError)
    assert cancelled == [stream]
    assert stream.scope.cancel_called


async def test_a_failure_is_not_renamed_by_the_cancel_that_follows(
    autojump_clock: MockClock,
) -> None:
    stream = new_stream()
    stream.fail(UpstreamEOFError("cut"))
    stream.fail(UpstreamError("later"))
    await trio.sleep(1)
    stream.cancel(Cause.SHUTDOWN)
    assert stream.cause is Cause.UPSTREAM_EOF
    assert stream.scope.cancel_called


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (UpstreamTimeoutError("x"), Cause.UPSTREAM_TIMEOUT),
        (UpstreamEOFError("x"), Cause.UPSTREAM_EOF),
        (UpstreamRejectedError("x"), Cause.UPSTREAM_ERROR),
        (JarvisError("x"), Cause.UPSTREAM_ERROR),
    ],
)
def test_each_failure_has_its_cause(error: JarvisError, cause: Cause) -> None:
    stream = new_stream()
    stream.fail(error)
    assert stream.cause is cause


@pytest.mark.parametrize(
    ("cause", "frame", "kind"),
    [
        (Cause.STOPPED, b"<error stopped>", StoppedError),
        (Cause.SHUTDOWN, b"<error server_shutdown>", ServerShutdownError),
        (Cause.CLIENT_DISCONNECT, b"", type(None)),
        (Cause.CLIENT_STALLED, b"", type(None)),
    ],
)
async def test_each_cancel_tells_its_readers_what_the_design_says(
    autojump_clock: MockClock, cause: Cause, frame: bytes, kind: type
) -> None:
    stream = new_stream()
    client = Client(stream)
    stream.cancel(cause)
    assert not stream.settled.is_set()
    stream.conclude()
    stream.conclude()
    assert stream.settled.is_set()
    assert await client.read() == frame
    assert isinstance(stream.error, kind)
    if isinstance(stream.error, ServerShutdownError):
        assert stream.error.retry_after == 5


async def test_the_last_reader_to_leave_ends_the_stream_and_the_first_does_not(
    autojump_clock: MockClock,
) -> None:
    stream = new_stream()
    first, second = stream.attach(), stream.attach()
    first.leave()
    await trio.sleep(1)
    assert stream.cause is None
    second.leave()
    assert stream.cause is Cause.CLIENT_DISCONNECT
    assert stream.scope.cancel_called


def test_a_reader_that_leaves_what_has_failed_changes_nothing(
    logged: structlog.testing.LogCapture,
) -> None:
    stream = new_stream()
    reader = stream.attach()
    stream.fail(UpstreamEOFError("cut"))
    reader.leave()
    assert stream.cause is Cause.UPSTREAM_EOF
    assert "stream_disconnected" not in [entry["event"] for entry in logged.entries]


def test_settled_means_accepted_or_ended_whichever_is_first() -> None:
    accepted, ended = new_stream(), new_stream()
    accepted.accept()
    assert accepted.settled.is_set()
    assert accepted.phase is Phase.PREFILL
    ended.conclude()
    assert ended.settled.is_set()
    assert not ended.accepted


@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.ENDED])
def test_what_has_ended_reaches_no_phase_any_more(phase: Phase) -> None:
    stream = new_stream()
    stream.conclude()
    stream.reach(phase)
    stream.accept()
    assert stream.phase == Phase.ENDED
    assert not stream.accepted


async def test_the_log_of_a_stream_tells_its_times_and_its_tokens(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    stream = new_stream()
    stream.begin()
    await trio.sleep(0.25)
    stream.first_text_at = trio.current_time()
    stream.answer.add([Text("a"), Text("b"), Reasoning("c")])
    await trio.sleep(1)
    stream.cancel(Cause.SUPERSEDED, SupersededError("str_2"))
    stream.conclude()
    stream.log_end()
    lines = {entry["event"]: entry for entry in logged.entries}
    assert list(lines) == [
        "stream_start",
        "first_event",
        "stream_cancelled",
        "stream_cleanup",
        "event_buffers_cleaned",
        "cleanup_request_complete",
        "stream_end",
    ]
    ids = {"trace": "trace", "stream_id": stream.id, "session": "s"}
    assert all(ids.items() <= entry.items() for entry in logged.entries)
    assert lines["first_event"]["status"] == "thinking"
    assert lines["stream_cancelled"]["reason"] == "registry_new_stream"
    end = lines["stream_end"]
    assert (end["duration_ms"], end["ttft_ms"], end["tokens"]) == (1250, 250, 3)
    assert (end["cause"], end["cleanup_done"]) == ("superseded", True)


async def test_a_stream_that_never_started_has_no_start_and_no_end_in_the_log(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    stream = new_stream()
    await trio.sleep(1)
    stream.cancel(Cause.SUPERSEDED)
    stream.conclude()
    stream.log_end()
    events = [entry["event"] for entry in logged.entries]
    assert events == ["stream_cancelled", "stream_never_started"]


def test_a_stream_s_repr_names_it_and_how_far_it_is() -> None:
    stream = new_stream()
    assert repr(stream) == f"<LiveStream {stream.id} queued cause=None>"


def test_an_answer_joins_its_texts_and_merges_its_tool_calls_by_index() -> None:
    answer = new_stream().answer
    assert answer.completion() == Completion()
    answer.add([Text("a"), Reasoning("r1"), ToolCall(1, "call_1", "b", "{")])
    answer.add([ToolCall(0, "call_0", "a"), ToolCall(1, arguments="}"), Text("b"), Reasoning("r2")])
    answer.add([ToolCall(0, "ignored", "ignored", "[]")])
    answer.add([Usage(1, 2)])
    assert answer.completion() == Completion(
        text="ab",
        reasoning="r1r2",
        tool_calls=(ToolCall(0, "call_0", "a", "[]"), ToolCall(1, "call_1", "b", "{}")),
        finish_reason=None,
        usage=Usage(1, 2),
    )
    assert answer.pieces == 8


def test_an_answer_keeps_one_string_for_each_run_of_one_kind_and_hands_it_on() -> None:
    """One for each token would be most of what a stream weighs."""
    answer = new_stream().answer
    tokens = [Text(str(number % 10)) for number in range(20)]
    added = answer.add([*tokens, Text(""), Reasoning(""), Reasoning("r"), Finish("stop"), *tokens])
    joined = "0123456789" * 2
    assert added == [Text(joined), Reasoning("r"), Text(joined)]
    assert answer._text == [joined, joined]
    assert (answer.pieces, answer.finish_reason) == (41, "stop")
    assert answer.add([Text(""), Usage(1, 2)]) == []


@hypothesis.given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=5)), max_size=20))
def test_a_tool_call_in_any_pieces_is_the_same_call(pieces: list[tuple[int, str]]) -> None:
    answer = new_stream().answer
    for index, arguments in pieces:
        answer.add([ToolCall(index, arguments=arguments)])
    assert {call.index: call.arguments for call in answer.completion().tool_calls} == {
        index: "".join(text for other, text in pieces if other == index) for index, _ in pieces
    }
