"""What a client of ``POST /v1/chat/completions`` gets when all goes well."""

import json
import time
from typing import Any

import pytest
from trio.testing import MockClock

from jarvis_trio.config import WRITE_SLICE_BYTES
from jarvis_trio.events import Finish, Reasoning, Text, ToolCall, Usage
from tests.scripted import Play, ScriptedProvider, words
from tests.web.server import Server, events, serving, text_of


async def streamed(server: Server, **fields: Any) -> list[Any]:
    body = json.dumps({"prompt": "hello", "stream": True, **fields}).encode()
    async with server.chat(body=body) as exchange:
        assert await exchange.status() == 200
        return events(await exchange.read())


async def whole(server: Server, **fields: Any) -> dict[str, Any]:
    async with server.chat(body=json.dumps({"prompt": "hello", **fields}).encode()) as exchange:
        assert await exchange.status() == 200
        answer: dict[str, Any] = await exchange.json()
        return answer


async def test_a_stream_has_a_role_its_text_a_finish_reason_and_done(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: words("one ", "two ", "three")) as server:
        got = await streamed(server)
        assert got.pop() == "[DONE]"
        assert [chunk["choices"][0]["delta"] for chunk in got] == [
            {"role": "assistant", "content": ""},
            {"content": "one "},
            {"content": "two three"},
            {},
        ]
        reasons = [chunk["choices"][0]["finish_reason"] for chunk in got]
        assert reasons == [None, None, None, "stop"]
        assert {chunk["object"] for chunk in got} == {"chat.completion.chunk"}
        assert {chunk["model"] for chunk in got} == {"scripted-model"}
        assert len({chunk["created"] for chunk in got}) == 1
        assert abs(got[0]["created"] - time.time()) < 3600
        await server.assert_nothing_is_left()


async def test_every_chunk_has_the_id_that_the_header_names(autojump_clock: MockClock) -> None:
    async with serving() as server, server.chat() as exchange:
        got = events(await exchange.read())
        stream_id = exchange.headers["x-stream-id"]
        assert {chunk["id"] for chunk in got[:-1]} == {stream_id}
        assert stream_id.startswith("str_")


async def test_a_stream_is_sent_as_an_event_stream_that_nothing_may_hold_back(
    autojump_clock: MockClock,
) -> None:
    headers = {"X-Request-Id": "req-1"}
    async with serving() as server, server.chat(session="s:1", headers=headers) as exchange:
        assert await exchange.status() == 200
        got = dict(exchange.headers)
        assert got.pop("x-stream-id")
        assert got == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache, no-transform",
            "x-accel-buffering": "no",
            "x-session-id": "s:1",
            "x-request-id": "req-1",
            "x-content-type-options": "nosniff",
        }


async def test_a_whole_answer_is_one_object_with_the_same_headers(
    autojump_clock: MockClock,
) -> None:
    play = Play(Reasoning("hm"), Text("one "), Text("two"), Finish("length"), Usage(3, 5))
    async with serving(lambda _: play) as server:
        headers = {"X-Request-Id": "req-1"}
        async with server.chat(stream=False, session="s", headers=headers) as exchange:
            answer = await exchange.json()
            got = exchange.headers
        assert answer["object"] == "chat.completion"
        assert answer["id"] == got["x-stream-id"]
        assert answer["model"] == "scripted-model"
        assert answer["choices"][0]["message"]["content"] == "one two"
        assert answer["choices"][0]["message"]["reasoning_content"] == "hm"
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        assert got["x-session-id"] == "s"
        assert got["x-request-id"] == "req-1"
        assert got["cache-control"] == "no-cache, no-transform"
        await server.assert_nothing_is_left()


async def test_tool_calls_come_whole_in_a_whole_answer(autojump_clock: MockClock) -> None:
    call = ToolCall(0, "call_1", "weather", '{"city":')
    play = Play(call, ToolCall(0, arguments='"Oslo"}'), Finish("tool_calls"))
    async with serving(lambda _: play) as server:
        choice = (await whole(server))["choices"][0]
        assert choice["message"]["content"] is None
        assert choice["message"]["tool_calls"] == [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
            }
        ]
        assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
async def test_messages_and_prompt_reach_the_provider(
    autojump_clock: MockClock, stream: bool
) -> None:
    provider = ScriptedProvider(lambda _: words("ok"))
    async with serving(provider=provider) as server:
        messages = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        ]
        fields = {"messages": messages, "stream": stream, "max_tokens": 7, "model": "m"}
        for body in (fields, {"prompt": "turn", "stream": stream}):
            async with server.chat(body=json.dumps(body).encode()) as exchange:
                assert await exchange.status() == 200
                assert b"ok" in await exchange.read()
    first, second = provider.requests
    assert [(m.role, m.text) for m in first.messages] == [("system", "be brief"), ("user", "hi")]
    assert (first.max_tokens, first.model) == (7, "m")
    assert [(m.role, m.text) for m in second.messages] == [("user", "turn")]


async def test_usage_comes_only_when_asked_for_and_known(autojump_clock: MockClock) -> None:
    counted = Play(Text("a"), Finish("stop"), Usage(3, 5))
    async with serving(lambda prompt: words("a") if prompt == "uncounted" else counted) as server:
        plain = await streamed(server)
        assert all("usage" not in chunk for chunk in plain[:-1])
        asked = await streamed(server, stream_options={"include_usage": True})
        assert asked[-1] == "[DONE]"
        assert asked[-2]["choices"] == []
        assert asked[-2]["usage"] == {
            "prompt_tokens": 3,
            "completion_tokens": 5,
            "total_tokens": 8,
        }
        assert all(chunk["usage"] is None for chunk in asked[:-2])
        options = {"include_usage": True}
        unknown = await streamed(server, prompt="uncounted", stream_options=options)
        assert unknown[-2]["choices"][0]["finish_reason"] == "stop"


async def test_the_model_that_was_asked_for_is_named_in_the_answer(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider(lambda _: words("a"))
    async with serving(provider=provider) as server:
        assert (await whole(server, model="mine"))["model"] == "mine"
        assert {chunk["model"] for chunk in (await streamed(server, model="mine"))[:-1]} == {"mine"}
        assert (await whole(server))["model"] == "scripted-model"
        provider.default_model = None
        assert (await whole(server))["model"] == "default"


async def test_without_a_session_id_every_request_is_a_session_of_its_own(
    autojump_clock: MockClock,
) -> None:
    async with (
        serving(lambda _: words("a", "b", gap=5)) as server,
        server.chat() as first,
        server.chat() as second,
    ):
        assert text_of(await first.read()) == text_of(await second.read()) == "ab"
        assert first.headers["x-session-id"] != second.headers["x-session-id"]
        assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize("request_id", ["", "has space", "x" * 129, "é"])
async def test_an_unusable_request_id_is_replaced(
    autojump_clock: MockClock, request_id: str
) -> None:
    headers = {"X-Request-Id": request_id}
    async with serving() as server, server.chat(headers=headers) as exchange:
        assert await exchange.status() == 200
        assert exchange.headers["x-request-id"] not in ("", request_id)


async def test_a_body_that_comes_in_pieces_is_put_together(autojump_clock: MockClock) -> None:
    pieces: list[bytes | float] = [b'{"prompt": "h', 3, b'i", "stream"', 3, b": true}"]
    async with serving() as server, server.chat(body=pieces) as exchange:
        assert text_of(await exchange.read()) == "hi"


async def test_no_write_to_a_client_is_larger_than_a_slice(autojump_clock: MockClock) -> None:
    text = "x" * 100_000
    async with serving(lambda _: words(text)) as server, server.chat() as exchange:
        pieces = []
        while piece := await exchange.receive():
            pieces.append(piece)
        assert max(map(len, pieces)) == WRITE_SLICE_BYTES
        assert text_of(b"".join(pieces)) == text


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", None, "curl"]
)
async def test_json_is_taken_as_clients_label_it(
    autojump_clock: MockClock, content_type: str | None
) -> None:
    """``curl -d`` calls everything a form when it is not told otherwise."""
    named = {"curl": "application/x-www-form-urlencoded"}.get(content_type or "", content_type)
    headers = {"Content-Type": named or ""}
    async with serving() as server, server.chat(headers=headers) as exchange:
        assert await exchange.status() == 200


async def test_models_are_listed_and_found_by_name(autojump_clock: MockClock) -> None:
    async with serving(api_keys=("k",)) as server:
        headers = {"Authorization": "Bearer k"}
        async with server.request("GET", "/v1/models", headers=headers) as exchange:
            listed = await exchange.json()
        assert listed["object"] == "list"
        assert [model["id"] for model in listed["data"]] == ["scripted-model"]
        async with server.request("GET", "/v1/models/scripted-model", headers=headers) as exchange:
            assert await exchange.json() == listed["data"][0]
