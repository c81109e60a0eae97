"""What clients read, checked with the types of the official client."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Model as OpenAIModel
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from jarvis_trio.errors import (
    JarvisError,
    RequestError,
    StoppedError,
    SupersededError,
    UpstreamError,
)
from jarvis_trio.events import (
    Completion,
    Delta,
    Finish,
    FinishReason,
    Model,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from jarvis_trio.wire.openai.answers import ChatChunk
from jarvis_trio.wire.openai.frames import (
    PING,
    ChatChunkEncoder,
    encode_completion,
    encode_error,
    encode_model,
    encode_models,
)
from jarvis_trio.wire.openai.upstream import ChatDecoder
from jarvis_trio.wire.sse import SSEDecoder
from tests.wire.material import any_text, quick

CREATED = 1_760_000_000
DONE = b"data: [DONE]\n\n"
REASONS: tuple[FinishReason, ...] = (
    "stop", "length", "tool_calls", "content_filter", "function_call",
)  # fmt: skip


def encoder(include_usage: bool = False) -> ChatChunkEncoder:
    return ChatChunkEncoder("str_1", 'a"model', CREATED, include_usage)


def as_described(chunk: dict[str, Any]) -> Any:
    """Return of a chunk what the API's document knows."""
    return msgspec.to_builtins(msgspec.convert(chunk, ChatChunk))


def chunks(frames: bytes) -> list[dict[str, Any]]:
    """Check what holds for every frame towards OpenAI's clients and return the chunks."""
    assert frames == b"" or frames.endswith(b"\n\n")
    for line in frames.split(b"\n"):
        assert line == b"" or (line.startswith(b"data: ") and len(line) > 6)
    read = [json.loads(event.data) for event in SSEDecoder().feed(frames.removesuffix(DONE))]
    for chunk in read:
        assert as_described(chunk) == chunk
        ChatCompletionChunk.model_validate(chunk)
        assert chunk["id"] == "str_1"
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["created"] == CREATED
        assert chunk["model"] == 'a"model'
        for choice in chunk["choices"]:
            assert choice["index"] == 0
            assert choice["logprobs"] is None
            assert "finish_reason" in choice
    return read


def only_deltas(frames: bytes) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(frames)]


def test_the_opening_names_the_role_and_its_content_is_empty() -> None:
    assert only_deltas(encoder().opening()) == [{"role": "assistant", "content": ""}]


def test_neighbours_of_one_kind_are_one_chunk_and_the_order_is_kept() -> None:
    sent: list[Text | Reasoning | ToolCall] = [
        Reasoning("a"),
        Reasoning("b"),
        Text("c"),
        Text(""),
        Text("d"),
        Reasoning("e"),
    ]
    assert only_deltas(encoder().deltas(sent)) == [
        {"reasoning_content": "ab"},
        {"content": "cd"},
        {"reasoning_content": "e"},
    ]


@pytest.mark.parametrize("sent", [[], [Text("")], [Reasoning(""), Text("")]])
def test_nothing_is_no_bytes(sent: list[Text | Reasoning | ToolCall]) -> None:
    assert encoder().deltas(sent) == b""


def test_tool_calls_go_in_pieces_that_say_only_what_is_new() -> None:
    sent: list[Text | Reasoning | ToolCall] = [
        Text("a"),
        ToolCall(0, "c0", "f"),
        ToolCall(0, None, None, '{"x"'),
        ToolCall(0, None, None, ":1}"),
        ToolCall(1, "c1", "g", "{}"),
        ToolCall(0, None, None, " "),
        Text("b"),
    ]
    assert only_deltas(encoder().deltas(sent)) == [
        {"content": "a"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "c0",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"x":1}'},
                }
            ]
        },
        {
            "tool_calls": [
                {
                    "index": 1,
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "g", "arguments": "{}"},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": " "}}]},
        {"content": "b"},
    ]


@pytest.mark.parametrize("reason", REASONS)
def test_the_end_is_an_empty_delta_with_the_finish_reason_and_done(reason: FinishReason) -> None:
    frames = encoder().finish(reason, Usage(1, 2))
    assert frames.endswith(DONE)
    assert frames.count(b"[DONE]") == 1
    [chunk] = chunks(frames)
    assert chunk["choices"] == [
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}
    ]


def test_usage_is_the_last_chunk_and_null_in_the_others_when_it_was_asked_for() -> None:
    asked = encoder(include_usage=True)
    frames = [
        *chunks(asked.opening()),
        *chunks(asked.deltas([Text("a"), Reasoning("b"), ToolCall(0, "c", "f")])),
        *chunks(asked.finish("stop", Usage(3, 2))),
    ]
    assert [chunk["usage"] for chunk in frames[:-1]] == [None] * 5
    assert frames[-1]["choices"] == []
    assert frames[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_usage_is_not_mentioned_when_it_was_not_asked_for() -> None:
    plain = encoder()
    frames = plain.opening() + plain.deltas([Text("a")]) + plain.finish("stop", Usage(3, 2))
    assert b"usage" not in frames


def test_a_usage_that_nobody_knows_is_left_out() -> None:
    [chunk] = chunks(encoder(include_usage=True).finish("stop", None))
    assert chunk["choices"][0]["finish_reason"] == "stop"


def test_a_ping_is_a_comment_that_no_decoder_sees() -> None:
    assert PING == b": ping\n\n"
    assert SSEDecoder().feed(PING) == []


def test_an_error_is_one_frame_and_done() -> None:
    frames = encoder(include_usage=True).error(StoppedError("somebody pressed\nStop"))
    events = SSEDecoder().feed(frames)
    assert [event.data for event in events[1:]] == [b"[DONE]"]
    assert json.loads(events[0].data) == {
        "error": {
            "message": "somebody pressed\nStop",
            "type": "invalid_request_error",
            "param": None,
            "code": "stopped",
        }
    }
    assert b"id:" not in frames


def test_an_error_names_the_field_and_the_successor() -> None:
    at_fault = RequestError("n must be 1", param="n", code="odd")
    assert json.loads(encode_error(at_fault)) == {
        "error": {
            "message": "n must be 1",
            "type": "invalid_request_error",
            "param": "n",
            "code": "odd",
        }
    }
    superseded = json.loads(encode_error(SupersededError("str_2")))
    assert superseded["error"]["code"] == "superseded"
    assert superseded["error"]["superseded_by"] == "str_2"


def test_an_error_message_that_utf8_cannot_carry_is_mended() -> None:
    sent = json.loads(encode_error(JarvisError("a\udcffb")))
    assert sent["error"]["message"] == "a\ufffdb"


@pytest.mark.parametrize("kind", [Text, Reasoning])
def test_text_that_utf8_cannot_carry_is_mended(kind: type[Text | Reasoning]) -> None:
    [delta] = only_deltas(encoder().deltas([kind("a\ud800"), kind("b")]))
    assert list(delta.values()) == ["a\ufffdb"]


def merged(deltas: Sequence[Delta]) -> list[object]:
    """Return the deltas with neighbours of one kind joined, as a reader puts them together."""
    joined: list[object] = []
    kind: object = None
    for delta in deltas:
        if isinstance(delta, Text | Reasoning):
            if not delta.text:
                continue
            if kind is type(delta):
                joined[-1] = str(joined[-1]) + delta.text
            else:
                joined.append(delta.text)
            kind = type(delta)
        else:
            joined.append(delta)
            kind = None
    return joined


pieces = st.one_of(
    st.builds(Text, any_text),
    st.builds(Reasoning, any_text),
    st.builds(ToolCall, st.integers(0, 3), st.just("c"), st.just("f"), any_text),
)


@quick
@given(st.lists(st.lists(pieces, max_size=6), max_size=4), st.sampled_from(REASONS))
def test_what_is_encoded_is_decoded_as_it_was(
    batches: list[list[Text | Reasoning | ToolCall]], reason: FinishReason
) -> None:
    ours = encoder(include_usage=True)
    decoder = ChatDecoder()
    frames = [ours.opening(), PING, *map(ours.deltas, batches), ours.finish(reason, Usage(3, 2))]
    for frame in frames[2:]:
        chunks(frame)
    read = decoder.feed(b"".join(frames))
    assert decoder.ended
    assert decoder.error is None
    sent: list[Delta] = [delta for batch in batches for delta in batch]
    assert merged(read) == merged([*sent, Finish(reason), Usage(3, 2)])


def test_an_encoded_error_is_decoded_as_a_failure() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(encoder().deltas([Text("a")]) + encoder().error(StoppedError("gone"))) == [
        Text("a")
    ]
    assert type(decoder.error) is UpstreamError
    assert decoder.error.message == "gone"


def completion(whole: Completion) -> ChatCompletion:
    body = encode_completion("str_1", "m", CREATED, whole)
    read = ChatCompletion.model_validate_json(body)
    assert (read.id, read.model, read.created) == ("str_1", "m", CREATED)
    assert read.object == "chat.completion"
    return read


def test_a_whole_answer_holds_text_reasoning_and_usage() -> None:
    read = completion(Completion("hi", "hm", (), "length", Usage(3, 2)))
    [choice] = read.choices
    assert choice.finish_reason == "length"
    assert choice.message.role == "assistant"
    assert choice.message.content == "hi"
    assert choice.message.tool_calls is None
    assert choice.message.model_dump()["reasoning_content"] == "hm"
    assert read.usage is not None
    assert read.usage.total_tokens == 5


def test_an_empty_answer_is_empty_content_and_a_stop() -> None:
    read = completion(Completion())
    assert read.choices[0].message.content == ""
    assert read.choices[0].finish_reason == "stop"
    assert read.usage is None


def test_an_answer_of_only_tool_calls_has_null_content() -> None:
    calls = (ToolCall(0, "c0", "f", "{}"), ToolCall(1))
    message = (
        completion(Completion(tool_calls=calls, finish_reason="tool_calls")).choices[0].message
    )
    assert message.content is None
    assert message.tool_calls is not None
    assert [call.model_dump() for call in message.tool_calls] == [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "call_1", "type": "function", "function": {"name": "", "arguments": ""}},
    ]
    assert completion(Completion("a", tool_calls=calls)).choices[0].message.content == "a"


@quick
@given(st.builds(Completion, st.text(max_size=20), st.text(max_size=20)))
def test_any_text_makes_a_whole_answer(whole: Completion) -> None:
    assert completion(whole).choices[0].message.content == whole.text


def test_models_are_listed_in_their_order() -> None:
    listed = json.loads(encode_models([Model("b", 5, "me"), Model("a")]))
    assert listed["object"] == "list"
    assert listed["data"][0] == {"id": "b", "object": "model", "created": 5, "owned_by": "me"}
    assert [OpenAIModel.model_validate(model).id for model in listed["data"]] == ["b", "a"]
    assert json.loads(encode_model(Model("a"))) == listed["data"][1]
