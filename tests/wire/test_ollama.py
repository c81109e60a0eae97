"""Ollama's native format, both ways."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.errors import JarvisError, RequestError, UpstreamEOFError, WireError
from jarvis_trio.events import ChatRequest, Delta, Finish, Message, Model, Text, ToolCall, Usage
from jarvis_trio.wire.ollama import ChatDecoder, decode_error, decode_models, encode_chat
from jarvis_trio.wire.openai.request import decode_chat_request
from tests.wire.material import almost, as_json, quick

HI = {"role": "user", "content": "hi"}


def decode(*lines: object) -> tuple[list[Delta], JarvisError | None]:
    decoder = ChatDecoder()
    deltas = [delta for value in lines for delta in decoder.feed(as_json(value) + b"\n")]
    return deltas + decoder.finish(), decoder.error


def encode(**body: Any) -> Any:
    request = decode_chat_request(as_json({"messages": [HI], **body}))
    return json.loads(encode_chat(request, "qwen3"))


@pytest.mark.parametrize(
    ("sent", "read"),
    [("stop", "stop"), ("length", "length"), ("load", "stop"), ("unload", "stop"), (None, "stop")],
)
def test_done_reasons_become_finish_reasons(sent: str | None, read: Any) -> None:
    assert decode({"done": True, "done_reason": sent}) == ([Finish(read)], None)


def test_the_last_line_may_bring_text_and_a_count_of_zero_is_left_out() -> None:
    last = {"message": {"content": "a"}, "done": True, "eval_count": 1}
    assert decode(last) == ([Text("a"), Finish("stop"), Usage(0, 1)], None)


def test_arguments_become_json_text_with_an_index_and_an_id() -> None:
    def call(name: str, arguments: object) -> object:
        return {"function": {"name": name, "arguments": arguments}}

    lines = (
        {"message": {"tool_calls": [call("f", {"city": "Zürich", "n": 1}), call("g", {})]}},
        {"message": {"tool_calls": [call("f", {"city": "Zürich", "n": 1})]}},
        {"done": True, "done_reason": "stop"},
    )
    deltas, error = decode(*lines)
    calls = [delta for delta in deltas if isinstance(delta, ToolCall)]
    assert error is None
    assert deltas[3:] == [Finish("tool_calls")]
    assert [(call.index, call.name, json.loads(call.arguments)) for call in calls] == [
        (0, "f", {"city": "Zürich", "n": 1}),
        (1, "g", {}),
        (2, "f", {"city": "Zürich", "n": 1}),
    ]
    assert len({call.id for call in calls} - {None, ""}) == 3
    assert decode(*lines)[0] == deltas


def test_ids_differ_from_answer_to_answer() -> None:
    def only_id(created_at: str) -> str | None:
        call = {"function": {"name": "f", "arguments": {}}}
        deltas, _ = decode({"created_at": created_at, "message": {"tool_calls": [call]}})
        assert isinstance(deltas[0], ToolCall)
        return deltas[0].id

    assert only_id("2026-01-01") != only_id("2026-01-02")


def test_a_last_line_without_lf_is_read_at_the_end() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(b'{"message":{"content":"a"},"done":true}') == []
    assert decoder.finish() == [Text("a"), Finish("stop")]
    assert decoder.ended
    assert decoder.error is None


def test_a_last_line_that_was_cut_is_an_end_without_a_marker() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(b'{"message":{"content":"a"},"do') == []
    assert decoder.finish() == []
    assert type(decoder.error) is UpstreamEOFError


def test_an_error_line_is_its_text() -> None:
    _, error = decode({"error": "llama runner process has terminated"})
    assert error is not None
    assert error.message == "llama runner process has terminated"
    assert decode_error(b'{"error":"model \\"x\\" not found"}') == 'model "x" not found'


def test_a_plain_request_holds_the_model_the_messages_and_stream() -> None:
    assert encode() == {"model": "qwen3", "messages": [HI], "stream": True}


def test_sampling_goes_into_options_and_own_options_go_before() -> None:
    sent = encode(
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        stop=["a", "b"],
        seed=3,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        options={"num_ctx": 8192, "seed": 4},
        keep_alive="5m",
        logit_bias={"1": 2},
    )
    assert sent["keep_alive"] == "5m"
    assert sent["options"] == {
        "temperature": 0.5,
        "top_p": 0.9,
        "num_predict": 7,
        "stop": ["a", "b"],
        "seed": 4,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "num_ctx": 8192,
    }
    assert "logit_bias" not in sent


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "json_object"}, "json"),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            {"type": "object"},
        ),
        ({"type": "text"}, None),
        ({"type": "json_schema", "json_schema": "odd"}, None),
        ("odd", None),
    ],
)
def test_a_response_format_becomes_a_format(wanted: object, sent: object) -> None:
    assert encode(response_format=wanted).get("format") == sent


@pytest.mark.parametrize(
    ("extra", "think"),
    [
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning_effort": "odd"}, None),
        ({"reasoning_effort": ["odd"]}, None),
        ({"think": False}, False),
        ({"think": True, "reasoning_effort": "low"}, True),
        ({}, None),
    ],
)
def test_a_reasoning_effort_becomes_think_and_think_goes_before(
    extra: dict[str, object], think: object
) -> None:
    assert encode(**extra).get("think") == think


def test_tools_are_passed_unless_the_client_forbids_their_use() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert encode(tools=tools)["tools"] == tools
    assert "tools" not in encode(tools=tools, tool_choice="none")


def test_messages_take_the_shape_of_ollama() -> None:
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR"}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    sent = encode(
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "look"}, url]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "tool", "tool_call_id": "c2", "content": "43"},
            {"role": "function", "name": "g", "content": "44"},
        ]
    )
    assert sent["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "look", "images": ["iVBOR"]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "tool", "content": "42", "tool_name": "f"},
        {"role": "tool", "content": "43"},
        {"role": "tool", "content": "44", "tool_name": "g"},
    ]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("", {}),
        ('{"x":', {"arguments": '{"x":'}),
        ("[1]", {"arguments": [1]}),
        ("\ud800", {"arguments": "\ufffd"}),
        ("[" * 100_000, {"arguments": "[" * 100_000}),
    ],
)
def test_arguments_are_always_an_object(text: str, sent: object) -> None:
    message = Message("assistant", "", tool_calls=(ToolCall(0, "a", "f", text),))
    body = json.loads(encode_chat(ChatRequest((message,)), "m"))
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == sent


@pytest.mark.parametrize("url", ["https://example.org/a.png", "data:image/svg+xml,<svg/>", "x"])
def test_an_image_that_ollama_would_have_to_fetch_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="data URL") as raised:
        encode(
            messages=[HI, {"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
        )
    assert raised.value.param == "messages[1].content"


def test_models_are_read_with_their_time_in_unix_seconds() -> None:
    body = as_json(
        {
            "models": [
                {"name": "b:8b", "modified_at": "2025-01-02T15:04:05.123456789-07:00", "size": 1},
                {"model": "a", "modified_at": "once"},
                {"name": "c", "modified_at": "0001-01-01T00:00:00+14:00"},
                {"size": 1},
            ]
        }
    )
    assert decode_models(body) == [
        Model("b:8b", 1735855445, "ollama"),
        Model("a", 0, "ollama"),
        Model("c", 0, "ollama"),
    ]


@quick
@given(st.one_of(st.binary(max_size=40), almost("models", "name", "modified_at").map(as_json)))
def test_any_answer_for_models_is_a_list_or_our_error(body: bytes) -> None:
    with suppress(WireError):
        decode_models(body)


def test_an_answer_without_models_is_our_error() -> None:
    with pytest.raises(WireError):
        decode_models(b'{"tags":[]}')
