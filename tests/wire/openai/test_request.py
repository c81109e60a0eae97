"""The body of a chat request: what is read, what is refused, and how it is said."""

import json
from codecs import BOM_UTF8
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.errors import RequestError
from jarvis_trio.events import ChatRequest, Message, ToolCall
from jarvis_trio.wire.openai.messages import MAX_MESSAGES
from jarvis_trio.wire.openai.request import decode_chat_request
from jarvis_trio.wire.openai.upstream import encode_chat_request
from tests.wire.material import almost, as_json, quick

HI = {"role": "user", "content": "hi"}


def decode(**body: Any) -> ChatRequest:
    return decode_chat_request(as_json({"messages": [HI], **body}))


def refusal(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as raised:
        decode_chat_request(body)
    assert type(raised.value) is RequestError
    assert raised.value.status == 400
    return raised.value


def test_a_prompt_is_the_next_turn_of_what_is_stored_and_messages_are_all_there_is() -> None:
    turn = ChatRequest((Message("user", "hi"),), continues=True)
    assert decode_chat_request(b'{"prompt":"hi"}') == turn
    assert not decode_chat_request(b'{"messages":[{"role":"user","content":"hi"}]}').continues


def test_a_prompt_may_replace_an_earlier_turn() -> None:
    turn = ChatRequest((Message("user", "hi"),), continues=True, replaces="str_1")
    assert decode_chat_request(b'{"prompt":"hi","replaces":"str_1"}') == turn


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [HI], "replaces": "str_1"}, "goes with prompt, not with messages"),
        ({"prompt": "hi", "replaces": ""}, "must be the X-Stream-Id of an answer"),
        ({"prompt": "hi", "replaces": "x" * 129}, "must be the X-Stream-Id of an answer"),
        ({"prompt": "hi", "replaces": ["str_1"]}, "must be a string"),
    ],
)
def test_what_cannot_be_replaced_is_said(body: dict[str, Any], said: str) -> None:
    error = refusal(as_json(body))
    assert (error.param, said in error.message) == ("replaces", True)


def test_every_known_key_has_its_field_and_all_others_are_extra_as_sent() -> None:
    extra = {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "user": "u",
        "metadata": {"a": None},
        "frequency_penalty": 0.5,
        "unheard_of": [1, {"x": 10**30}],
    }
    assert decode(
        model="m",
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=9,
        temperature=1,
        top_p=0.5,
        stop=["a", "b"],
        seed=-1,
        n=1,
        **extra,
    ) == ChatRequest(
        messages=(Message("user", "hi", sent=HI),),
        model="m",
        stream=True,
        include_usage=True,
        max_tokens=9,
        temperature=1.0,
        top_p=0.5,
        stop=("a", "b"),
        seed=-1,
        extra=extra,
    )


def test_null_stands_for_an_absent_key() -> None:
    keys = (
        "prompt", "replaces", "model", "stream", "stream_options", "max_tokens",
        "max_completion_tokens",
        "temperature", "top_p", "stop", "seed", "n", "tools", "unheard_of",
    )  # fmt: skip
    assert decode(**dict.fromkeys(keys)) == decode()
    assert decode(stream_options={"include_usage": None}) == decode()


def test_max_completion_tokens_goes_before_max_tokens() -> None:
    assert decode(max_completion_tokens=5).max_tokens == 5
    assert decode(max_completion_tokens=5, max_tokens=9).max_tokens == 5
    assert decode(max_tokens=9).max_tokens == 9


@pytest.mark.parametrize(
    ("sent", "read"), [("END", ("END",)), (["a", ""], ("a",)), ("", ()), ([], ())]
)
def test_stop_is_a_string_or_a_list_and_empty_ones_are_left_out(sent: Any, read: Any) -> None:
    assert decode(stop=sent).stop == read


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
def test_every_role_of_the_format_is_read(role: str) -> None:
    assert decode(messages=[{"role": role, "content": ""}]).messages[0].role == role


def test_a_message_keeps_what_the_client_sent_beside_what_is_read() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}, "x": 1}
    custom = {"id": "d", "type": "custom", "custom": {"name": "g", "input": ""}}
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "text", "text": "b"},
        {"type": "image_url", "image_url": "https://x"},
    ]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": parts, "name": "ann", "cache_control": {}},
        {"role": "assistant", "tool_calls": [custom, call]},
        {"role": "tool", "content": "42", "tool_call_id": "c", "tool_calls": None},
    ]
    assert decode(messages=messages).messages == (
        Message("user", "ab", ("data:x", "https://x"), name="ann", sent=messages[0]),
        Message("assistant", "", (), (ToolCall(1, "c", "f", "{"),), sent=messages[1]),
        Message("tool", "42", tool_call_id="c", sent=messages[2]),
    )


@pytest.mark.parametrize("stand_in", ["tool_calls", "function_call", "refusal", "audio"])
def test_an_assistant_may_do_without_content_when_something_stands_for_it(stand_in: str) -> None:
    values: dict[str, Any] = {
        "tool_calls": [{"function": {"name": "f", "arguments": None}}],
        "function_call": {"name": "f", "arguments": ""},
        "refusal": "no",
        "audio": {"id": "a"},
    }
    message = {"role": "assistant", "content": None, stand_in: values[stand_in]}
    assert decode(messages=[message]).messages[0].text == ""


def in_message(**message: Any) -> dict[str, Any]:
    return {"messages": [HI, {**HI, **message}]}


def in_call(call: Any) -> dict[str, Any]:
    return in_message(role="assistant", tool_calls=[call])


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({}, "messages", "no messages"),
        ({"messages": None, "prompt": None}, "messages", "no messages"),
        ({"messages": [HI], "prompt": "x"}, "prompt", "one of the two"),
        ({"messages": [], "prompt": "x"}, "prompt", "one of the two"),
        ({"prompt": ""}, "prompt", "not be empty"),
        ({"prompt": " \n"}, "prompt", "not be empty"),
        ({"prompt": ["x"]}, "prompt", "must be a string, but it is a list"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": "hi"}, "messages", "must be a list, but it is a string"),
        ({"messages": [None]}, "messages[0]", "must be an object, but it is null"),
        (in_message(role="robot"), "messages[1].role", "one of system, developer, user"),
        (in_message(role=None), "messages[1].role", "one of system"),
        (in_message(role=1), "messages[1].role", "must be a string, but it is a whole number"),
        (in_message(content=None), "messages[1].content", "a string or a list of parts"),
        (
            in_message(content=None, tool_calls=[{"function": {"name": "f"}}]),
            "messages[1].content",
            "only an assistant",
        ),
        (in_message(content=1), "messages[1].content", "a string or a list of parts"),
        (in_message(role="assistant", content=None), "messages[1].content", "tool_calls"),
        (
            in_message(role="assistant", content=None, tool_calls=[]),
            "messages[1].content",
            "tool_calls",
        ),
        (in_message(content=["a"]), "messages[1].content[0]", "must be an object"),
        (in_message(content=[{}]), "messages[1].content[0].type", "must be a string"),
        (in_message(content=[{"type": "text"}]), "messages[1].content[0].text", "but it is null"),
        (
            in_message(content=[{"type": "image_url", "image_url": {"url": 1}}]),
            "messages[1].content[0].image_url.url",
            "must be a string",
        ),
        (
            in_message(content=[{"type": "image_url"}]),
            "messages[1].content[0].image_url",
            "must be a string",
        ),
        (in_message(name=1), "messages[1].name", "must be a string"),
        (in_message(tool_call_id=1), "messages[1].tool_call_id", "must be a string"),
        (in_message(tool_calls={}), "messages[1].tool_calls", "but it is an object"),
        (in_call(1), "messages[1].tool_calls[0]", "must be an object"),
        (in_call({}), "messages[1].tool_calls[0].function", "name and arguments"),
        (in_call({"type": 1}), "messages[1].tool_calls[0].type", "must be a string"),
        (in_call({"function": {}}), "messages[1].tool_calls[0].function.name", "but it is null"),
        (
            in_call({"function": {"name": "f", "arguments": {}}}),
            "messages[1].tool_calls[0].function.arguments",
            "must be a string, but it is an object",
        ),
        ({"messages": [HI], "model": ""}, "model", "leave it out"),
        ({"messages": [HI], "model": "m" * 513}, "model", "1 to 512"),
        ({"messages": [HI], "model": 1}, "model", "must be a string"),
        ({"messages": [HI], "stream": "true"}, "stream", "must be true or false"),
        ({"messages": [HI], "stream": 1}, "stream", "must be true or false"),
        ({"messages": [HI], "stream_options": True}, "stream_options", "must be an object"),
        (
            {"messages": [HI], "stream_options": {"include_usage": 1}},
            "stream_options.include_usage",
            "must be true or false",
        ),
        ({"messages": [HI], "max_tokens": -1}, "max_tokens", "from 1 to"),
        ({"messages": [HI], "max_tokens": 0}, "max_tokens", "from 1 to"),
        ({"messages": [HI], "max_tokens": 10**400}, "max_tokens", "from 1 to"),
        ({"messages": [HI], "max_tokens": True}, "max_tokens", "must be a whole number"),
        ({"messages": [HI], "max_tokens": 1.5}, "max_tokens", "must be a whole number"),
        ({"messages": [HI], "max_completion_tokens": -1}, "max_completion_tokens", "from 1"),
        ({"messages": [HI], "temperature": "hot"}, "temperature", "must be a number"),
        ({"messages": [HI], "temperature": -0.1}, "temperature", "from 0 to 100"),
        ({"messages": [HI], "temperature": 10**400}, "temperature", "from 0 to 100"),
        ({"messages": [HI], "top_p": 1.1}, "top_p", "from 0 to 1"),
        ({"messages": [HI], "top_p": False}, "top_p", "must be a number"),
        ({"messages": [HI], "stop": 1}, "stop", "a string or a list of strings"),
        ({"messages": [HI], "stop": ["a", 1]}, "stop[1]", "must be a string"),
        ({"messages": [HI], "seed": 2**63}, "seed", "from -"),
        ({"messages": [HI], "seed": 0.5}, "seed", "must be a whole number"),
        ({"messages": [HI], "n": 2}, "n", "must be 1"),
        ({"messages": [HI], "n": True}, "n", "must be 1"),
        ({"messages": [HI], "n": 1.5}, "n", "must be 1"),
        ({"messages": [HI], "max_tokens": 1e300}, "max_tokens", "from 1 to"),
        ({"messages": [HI], "n": "1"}, "n", "must be 1"),
    ],
)
def test_a_field_at_fault_is_named_and_the_message_says_what_would_do(
    body: dict[str, Any], param: str, says: str
) -> None:
    error = refusal(json.dumps(body).encode())
    assert error.param == param
    assert says in error.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hello", "valid JSON"),
        (b'{"messages":', "valid JSON"),
        (b'{"prompt":"a"}x', "valid JSON"),
        (b"[]", "JSON object"),
        (b'"prompt"', "JSON object"),
        (b"null", "JSON object"),
        (b'{"prompt":"\xff"}', "UTF-8"),
        (b'{"prompt":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"prompt":"\\ud800"}', "valid JSON"),
        (b'{"prompt":"\\udc00 and more"}', "valid JSON"),
        (b'{"prompt":"x","model":"\\ud83d"}', "valid JSON"),
        (b'{"prompt":"x","\\ud83d":1}', "valid JSON"),
        (b'{"prompt":"a\0b"}', "valid JSON"),
        (BOM_UTF8 + b'{"prompt":"a"}', "byte order mark"),
        ('{"prompt":"a"}'.encode("utf-16"), "valid JSON"),
        (b'{"prompt":"a","temperature":NaN}', "valid JSON"),
        (b'{"prompt":"a","temperature":-Infinity}', "valid JSON"),
        (b'{"prompt":"a","temperature":1e999}', "number too large"),
        (b'{"prompt":"a","x":' + b"9" * 5000 + b"}", "number too large"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 50_000, "nested too deeply"),
        (b'{"a":' * 200_000, "outside of strings"),
        (b'{"prompt":"a","x":' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
        (b'{"prompt":"a","x":[' + b"[]," * 100_000 + b"[]]}", "outside of strings"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_its_reason(body: bytes, says: str) -> None:
    assert says in refusal(body).message


def test_what_is_accepted_can_be_encoded_from_deep_inside_our_own_stack() -> None:
    nested = b'{"prompt":"a","x":' + b"[" * 99 + b"]" * 99 + b"}"
    request = decode_chat_request(nested)

    def below(levels: int) -> bytes:
        return encode_chat_request(request, None) if levels == 0 else below(levels - 1)

    assert b"[" * 99 in below(700)


def test_brackets_inside_text_are_not_nesting() -> None:
    assert (
        decode_chat_request(as_json({"prompt": "[{" * 100_000})).messages[0].text == "[{" * 100_000
    )


@quick
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(as_json)))
def test_arbitrary_bytes_are_refused_with_our_error(body: bytes) -> None:
    refusal(body)


almost_requests = st.one_of(
    st.dictionaries(
        st.sampled_from(
            ["messages", "prompt", "model", "stream", "stream_options", "max_tokens", "n", "stop",
             "temperature", "top_p", "seed", "tools"]
        ),
        almost("role", "user", "content", "include_usage"),
        max_size=4,
    ),
    st.fixed_dictionaries(
        {
            "messages": st.lists(
                st.fixed_dictionaries(
                    {"role": st.sampled_from(["user", "assistant", "tool"])},
                    optional={
                        "content": almost("type", "text", "image_url", "url"),
                        "tool_calls": almost("id", "type", "function", "name", "arguments"),
                        "name": almost("x"),
                    },
                ),
                max_size=3,
            )
        }
    ),
)  # fmt: skip


@quick
@given(almost_requests)
def test_json_that_is_almost_right_is_a_request_or_our_error(body: Any) -> None:
    with suppress(RequestError):
        encode_chat_request(decode_chat_request(as_json(body)), None)


def test_megabytes_of_numbers_or_brackets_are_refused_before_they_are_read() -> None:
    """I9: reading them takes seconds, in one step that no other task can interrupt."""
    for filler in (b"1.7976931348623157e308,", b"[],"):
        body = b'{"prompt":"x","y":[' + filler * (300_000 // len(filler)) + b"0]}"
        with pytest.raises(RequestError) as refused:
            decode_chat_request(body)
        assert "outside of strings" in refused.value.message


@pytest.mark.parametrize(
    "paste", ['"quoted" \\ and, [bracketed] {text} ' * 60_000, "😀" * 1_000_000]
)
def test_megabytes_of_text_are_read(paste: str) -> None:
    assert decode_chat_request(as_json({"prompt": paste})).messages[0].text == paste


def test_as_many_messages_as_no_conversation_has_are_refused() -> None:
    assert len(decode(messages=[HI] * MAX_MESSAGES).messages) == MAX_MESSAGES
    for count in (MAX_MESSAGES + 1, 10_000):
        error = refusal(as_json({"messages": [HI] * count}))
        assert error.param == "messages"
        assert error.message == f"messages must hold at most 4096 messages, but it holds {count}"


def test_the_last_of_two_equal_keys_counts() -> None:
    body = b'{"prompt":"a","messages":[{"role":"user","content":"b"}],"prompt":null}'
    assert decode_chat_request(body).messages[0].text == "b"


def test_a_character_that_no_keyboard_has_is_a_character() -> None:
    for prompt in ("a\0b", "\ufeffa", "\u2028", "\U0010ffff"):
        body = json.dumps({"prompt": f"{prompt}!", "model": f"{prompt}!"}).encode()
        request = decode_chat_request(body)
        assert (request.messages[0].text, request.model) == (f"{prompt}!", f"{prompt}!")
        encode_chat_request(request, request.model)


@pytest.mark.parametrize(("key", "sent"), [("max_tokens", 5.0), ("seed", -5.0), ("n", 1.0)])
def test_a_whole_number_is_whole_however_it_is_written(key: str, sent: float) -> None:
    """JSON has one kind of number."""
    read = decode(**{key: sent})
    assert read == decode(**{key: int(sent)})
    assert type(read.max_tokens) is not float


def test_a_flood_of_stop_strings_is_refused() -> None:
    with pytest.raises(RequestError, match="at most 64"):
        decode(stop=["x"] * 65)
    assert len(decode(stop=["x"] * 64).stop) == 64
