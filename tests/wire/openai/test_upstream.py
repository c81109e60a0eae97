"""OpenAI's format as model servers speak it, both ways."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.errors import JarvisError, UpstreamError, WireError
from jarvis_trio.events import (
    ChatRequest,
    Delta,
    Finish,
    Message,
    Model,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from jarvis_trio.wire.openai.request import decode_chat_request
from jarvis_trio.wire.openai.upstream import ChatDecoder, decode_models, encode_chat_request
from tests.wire.material import almost, as_json, quick

DONE = b"data: [DONE]\n\n"


def sse(value: object) -> bytes:
    return b"data: " + as_json(value) + b"\n\n"


def chunk(delta: object = None, reason: str | None = None, **more: object) -> bytes:
    return sse({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more})


def decode(*frames: bytes) -> tuple[list[Delta], JarvisError | None]:
    decoder = ChatDecoder()
    deltas = [delta for frame in frames for delta in decoder.feed(frame)]
    return deltas + decoder.finish(), decoder.error


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_both_names_of_reasoning_are_read_and_empty_ones_are_nothing(key: str) -> None:
    deltas, _ = decode(chunk({key: "a", "content": ""}), chunk({key: None, "content": "b"}), DONE)
    assert deltas == [Reasoning("a"), Text("b"), Finish("stop")]


def test_reasoning_sent_under_both_names_is_read_once() -> None:
    deltas, _ = decode(chunk({"reasoning": "a", "reasoning_content": "a"}), DONE)
    assert deltas == [Reasoning("a"), Finish("stop")]


def test_a_refusal_is_text() -> None:
    assert decode(chunk({"refusal": "no"}), DONE)[0] == [Text("no"), Finish("stop")]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("function_call", "function_call"),
        ("eos_token", "stop"),
    ],
)
def test_finish_reasons_are_those_of_openai_and_others_are_stop(sent: str, read: Any) -> None:
    assert decode(chunk({"content": "a"}, sent), DONE) == ([Text("a"), Finish(read)], None)


def test_a_finish_reason_then_the_end_of_the_bytes_is_a_clean_end() -> None:
    assert decode(chunk({}, "length")) == ([Finish("length")], None)


def test_done_without_a_finish_reason_is_a_stop() -> None:
    assert decode(chunk({"content": "a"}), DONE) == ([Text("a"), Finish("stop")], None)


def test_a_repeated_finish_reason_is_one_finish() -> None:
    assert decode(chunk({}, "length"), chunk({}, "stop"), DONE) == ([Finish("length")], None)


def test_an_empty_finish_reason_is_none() -> None:
    assert decode(chunk({"content": "a"}, ""), chunk({}, "length"), DONE)[0] == [
        Text("a"),
        Finish("length"),
    ]


@pytest.mark.parametrize("end", [[DONE], []], ids=["done", "end of the bytes"])
def test_usage_is_read_in_any_chunk_and_told_once_at_the_end(end: list[bytes]) -> None:
    one = {"prompt_tokens": 3, "completion_tokens": 1}
    two = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    deltas, _ = decode(
        chunk({"content": "a"}, usage=one),
        chunk({}, "stop", usage=two),
        sse({"choices": [], "usage": two}),
        sse({"usage": None}),
        *end,
    )
    assert deltas == [Text("a"), Finish("stop"), Usage(3, 2)]


def test_tool_calls_are_read_in_pieces() -> None:
    deltas, _ = decode(
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g"}}]}, "tool_calls"),
    )
    assert deltas == [
        ToolCall(0, "a", "f"),
        ToolCall(0, None, None, '{"x"'),
        ToolCall(1, "b", "g"),
        Finish("tool_calls"),
    ]


def test_tool_calls_without_an_index_are_counted_by_their_ids() -> None:
    deltas, _ = decode(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "f"}}]}),
        chunk({"tool_calls": [{"function": {"arguments": "{}"}}]}),
        chunk({"tool_calls": [{"id": "b"}]}),
    )
    assert deltas == [ToolCall(0, "a", "f"), ToolCall(0, None, None, "{}"), ToolCall(1, "b")]


def test_a_piece_of_a_tool_call_with_nothing_in_it_is_nothing() -> None:
    empty = chunk({"tool_calls": [{"index": 0}, {"index": 0, "function": {"arguments": ""}}]})
    assert decode(empty, chunk({"content": "a"}, "stop")) == ([Text("a"), Finish("stop")], None)


def test_only_the_first_choice_is_read() -> None:
    choices = [{"index": 1, "delta": {"content": "b"}}, {"index": None, "delta": {"content": "a"}}]
    assert decode(sse({"choices": choices}), DONE)[0] == [Text("a"), Finish("stop")]


def test_empty_data_and_frames_without_choices_are_nothing() -> None:
    sent = [b"data:\n\n", b"data: \n\n", sse({}), sse({"timings": {}}), chunk(None), DONE]
    assert decode(*sent) == ([Finish("stop")], None)


@pytest.mark.parametrize(
    "frame",
    [
        sse({"error": {"message": "boom", "type": "x"}}),
        sse({"error": "boom"}),
        sse({"error": "boom", "choices": [{"delta": {"content": "x"}}]}),
        sse({"object": "error", "message": "boom", "code": 500}),
        b"event: error\n" + sse({"message": "boom"}),
        b"event: error\ndata: boom\n\n",
    ],
)
def test_every_shape_of_an_error_frame_is_a_failure(frame: bytes) -> None:
    deltas, error = decode(chunk({}, "stop"), frame, DONE)
    assert deltas == [Finish("stop")]
    assert type(error) is UpstreamError
    assert error.message == "boom"


def test_an_error_frame_without_a_message_still_says_what_it_is() -> None:
    _, error = decode(sse({"error": {}}))
    assert type(error) is UpstreamError
    assert "reported an error" in error.message


def test_a_request_goes_on_as_it_came_but_always_streams_with_usage() -> None:
    body = {
        "model": "ours",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}], "x": 1}],
        "stream": False,
        "stream_options": {"include_usage": False},
        "max_completion_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "stop": "END",
        "seed": 7,
        "n": 1,
        "tools": [{"type": "function"}],
        "strange": {"key": [1, None]},
        "user": None,
    }
    assert json.loads(encode_chat_request(decode_chat_request(as_json(body)), "theirs")) == {
        "model": "theirs",
        "messages": body["messages"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["END"],
        "seed": 7,
        "tools": [{"type": "function"}],
        "strange": {"key": [1, None]},
    }


def test_what_was_not_asked_for_is_not_sent() -> None:
    request = ChatRequest((Message("user", "hi"),), model="ours")
    assert json.loads(encode_chat_request(request, None)) == {
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_extra_never_replaces_a_known_field() -> None:
    extra = {"messages": [], "stream": False, "model": "x", "stream_options": None}
    sent = json.loads(encode_chat_request(ChatRequest((Message("user", "hi"),), extra=extra), "m"))
    assert sent["messages"] == [{"role": "user", "content": "hi"}]
    assert sent["stream"] is True
    assert sent["model"] == "m"
    assert sent["stream_options"] == {"include_usage": True}


def test_messages_of_our_own_are_built() -> None:
    messages = (
        Message("user", "look", images=("data:image/png;base64,AA",)),
        Message("assistant", "", tool_calls=(ToolCall(0, "a", "f", "{}"),)),
        Message("tool", "42", tool_call_id="a", name="f"),
    )
    assert json.loads(encode_chat_request(ChatRequest(messages), None))["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "content": "42", "tool_call_id": "a", "name": "f"},
    ]


def test_models_are_read_in_their_order() -> None:
    body = as_json({"data": [{"id": "b", "created": 5, "owned_by": "me"}, {"id": "a", "x": 1}]})
    assert decode_models(body) == [Model("b", 5, "me"), Model("a", 0, "upstream")]
    assert decode_models(b'{"data":null}') == []


@quick
@given(st.one_of(st.binary(max_size=40), almost("data", "id", "created").map(as_json)))
def test_any_answer_for_models_is_a_list_or_our_error(body: bytes) -> None:
    with suppress(WireError):
        decode_models(body)


def test_an_answer_without_models_is_our_error() -> None:
    with pytest.raises(WireError):
        decode_models(b'{"object":"list"}')
