"""The sim speaks both APIs as wire.md has them."""

import json

import openai
import pytest
import trio

from jarvis_trio.storm.sim.scenarios import Fault
from tests.storm.raw_client import PATHS, Api, SimClient, chat_body, text, words

APIS = pytest.mark.parametrize("api", ["openai", "ollama"])


async def test_an_openai_stream_is_role_tokens_finish_and_done(sim: SimClient) -> None:
    with trio.fail_after(5):
        answer = await sim.chat("openai", "sim?tokens=3")
    *chunks, done = answer.events()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert done == b"[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "w0 "},
        {"content": "w1 "},
        {"content": "w2 "},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {"sim?tokens=3"}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert not any("usage" in chunk for chunk in chunks)


async def test_an_openai_stream_ends_with_usage_when_asked(sim: SimClient) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(
            "openai", "sim?tokens=4", "two words", stream_options={"include_usage": True}
        )
    *chunks, usage, done = answer.events()
    assert done == b"[DONE]"
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_an_openai_answer_comes_whole_by_default(sim: SimClient) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}).encode()
    with trio.fail_after(5):
        answer = await sim.request("POST", PATHS["openai"], body)
    completion = answer.json()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert completion["object"] == "chat.completion"
    assert completion["model"] == "sim"
    assert completion["choices"][0]["message"] == {"role": "assistant", "content": words(5)}
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["usage"]["completion_tokens"] == 5


async def test_an_ollama_stream_is_the_default_and_its_last_line_tells_the_numbers(
    sim: SimClient,
) -> None:
    body = json.dumps({"model": "sim?tokens=3", "messages": [{"role": "user", "content": "a b"}]})
    with trio.fail_after(5):
        answer = await sim.request("POST", PATHS["ollama"], body.encode())
    *lines, last = answer.lines()
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [line["message"]["content"] for line in lines] == ["w0 ", "w1 ", "w2 "]
    assert [line["done"] for line in lines] == [False] * 3
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["prompt_eval_count"], last["eval_count"]) == (2, 3)
    parts = ("load_duration", "prompt_eval_duration", "eval_duration")
    assert last["total_duration"] == sum(last.get(part, 0) for part in parts) > 0
    assert all(line["created_at"].endswith("Z") for line in [*lines, last])


async def test_an_ollama_answer_comes_whole_when_asked(sim: SimClient) -> None:
    with trio.fail_after(5):
        answer = await sim.chat("ollama", "sim?tokens=3", stream=False)
    line = answer.json()
    assert line["message"]["content"] == words(3)
    assert (line["done"], line["done_reason"], line["eval_count"]) == (True, "stop", 3)


@pytest.mark.parametrize(
    ("limit", "tokens", "reason"), [(2, 2, "length"), (5, 5, "stop"), (9, 5, "stop")]
)
@pytest.mark.parametrize(
    ("api", "name"), [("openai", "max_tokens"), ("openai", "max_completion_tokens"), ("ollama", "")]
)
async def test_a_limit_below_the_length_shortens_the_answer(
    sim: SimClient, api: Api, name: str, *, limit: int, tokens: int, reason: str
) -> None:
    more = {name: limit} if name else {"options": {"num_predict": limit}}
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim?tokens=5", **more)
    assert text(api, answer) == words(tokens)
    if api == "ollama":
        assert answer.lines()[-1]["done_reason"] == reason
    else:
        assert answer.events()[-2]["choices"][0]["finish_reason"] == reason


async def test_num_predict_minus_one_sets_no_limit(sim: SimClient) -> None:
    with trio.fail_after(5):
        answer = await sim.chat("ollama", "sim?tokens=5", options={"num_predict": -1})
    assert text("ollama", answer) == words(5)


async def test_the_models_are_listed_in_both_apis(sim: SimClient) -> None:
    with trio.fail_after(5):
        tags = await sim.get("/api/tags")
        models = await sim.get("/v1/models")
        model = await sim.get("/v1/models/sim-stall%3Fat%3D3")
        version = await sim.get("/api/version")
    assert [tag["name"] for tag in tags["models"]] == list(Fault)
    assert [each["id"] for each in models["data"]] == list(Fault)
    assert {"name", "model", "modified_at", "size", "digest", "details"} == set(tags["models"][0])
    assert model["id"] == "sim-stall?at=3"
    assert version["version"]


async def test_the_models_that_answer_now_are_those_that_ps_lists(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask("ollama", "sim-silent")
            await connection.read_headers()
            during = await sim.get("/api/ps")
            connection.close()
            after = await sim.get("/api/ps")
    assert [model["name"] for model in during["models"]] == ["sim-silent"]
    assert after == {"models": []}


async def test_the_official_openai_client_reads_a_stream(sim: SimClient) -> None:
    def ask() -> str:
        base_url = f"http://127.0.0.1:{sim.port}/v1"
        with openai.OpenAI(api_key="any", base_url=base_url) as client:
            stream = client.chat.completions.create(
                model="sim?tokens=20", stream=True, messages=[{"role": "user", "content": "hi"}]
            )
            return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    with trio.fail_after(5):
        assert await trio.to_thread.run_sync(ask) == words(20)


@APIS
async def test_an_unknown_model_is_a_404_in_the_api_s_own_shape(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, "gpt-9")
    assert answer.status == 404
    error = answer.json()["error"]
    if api == "ollama":
        assert error == "model 'gpt-9' not found"
    else:
        assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")


@APIS
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"messages": 1}',
        b'{"messages": [{"role": "user"}], "stream": "x"}',
        chat_body("sim?speed=1"),
        chat_body("sim?tps=fast"),
        chat_body("sim?tokens=-1"),
        chat_body("sim-refuse?status=200"),
    ],
)
async def test_a_bad_request_is_a_400_with_a_sentence(
    sim: SimClient, api: Api, body: bytes
) -> None:
    with trio.fail_after(5):
        answer = await sim.request("POST", PATHS[api], body)
    assert answer.status == 400
    error = answer.json()["error"]
    assert " " in (error if api == "ollama" else error["message"])


async def test_a_head_is_refused_and_leaves_no_body_before_the_next_answer(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.stream.send_all(b"HEAD / HTTP/1.1\r\n\r\n")
            answer = b"".join([bytes(data) async for data in connection.stream])
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"connection: close\r\n" in answer


async def test_other_addresses_and_methods_are_refused(sim: SimClient) -> None:
    with trio.fail_after(5):
        nowhere = await sim.request("GET", "/v2")
        method = await sim.request("GET", "/v1/chat/completions")
        model = await sim.request("GET", "/v1/models/gpt-9")
    assert (nowhere.status, nowhere.json()["error"]["code"]) == (404, "not_found")
    assert (method.status, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert (model.status, model.json()["error"]["code"]) == (404, "model_not_found")


async def test_what_is_not_http_is_told_so(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.stream.send_all(b"\x16\x03\x01 hello\r\n\r\n")
            answer = await connection.read()
            assert answer.status == 400
            assert await connection.is_closed_by_peer()


async def test_a_connection_is_kept_for_the_next_request(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            for api in ("openai", "ollama", "openai"):
                await connection.ask(api, "sim?tokens=2")
                answer = await connection.read()
                assert text(api, answer) == words(2)
                assert answer.headers["connection"] == "keep-alive"


async def test_a_connection_is_closed_when_the_client_asks_for_it(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            body = chat_body("sim?tokens=2")
            await connection.send("POST", PATHS["openai"], body, "connection: close\r\n")
            answer = await connection.read()
            assert answer.headers["connection"] == "close"
            assert text("openai", answer) == words(2)
            assert await connection.is_closed_by_peer()


async def test_a_client_of_http_1_0_gets_an_unframed_stream(sim: SimClient) -> None:
    with trio.fail_after(5):
        answer = await sim.request("POST", PATHS["ollama"], chat_body("sim?tokens=2"), "", "1.0")
    assert "transfer-encoding" not in answer.headers
    assert text("ollama", answer) == words(2)


async def test_a_request_that_trickles_in_is_answered(sim: SimClient) -> None:
    body = chat_body("sim?tokens=2")
    head = f"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with trio.fail_after(5):
        async with sim.connect() as connection:
            for byte in head.encode() + body:
                await connection.stream.send_all(bytes([byte]))
            assert text("ollama", await connection.read()) == words(2)


async def test_requests_sent_together_are_answered_in_turn(sim: SimClient) -> None:
    body = chat_body("sim?tokens=2")
    request = b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.stream.send_all(request + request + b"GET /api/tags HTTP/1.0\r\n\r\n")
            received = b""
            while data := await connection.stream.receive_some(65536):
                received += data
    assert received.count(b'"done":true') == 2
    assert received.endswith(b"]}")


async def test_a_client_that_leaves_mid_request_does_no_harm(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.stream.send_all(b"POST /api/chat HTTP/1.1\r\ncontent-le")
        assert text("ollama", await sim.chat("ollama", "sim?tokens=2")) == words(2)
        assert (await sim.get("/sim/stats"))["requests"] == 1


@pytest.mark.parametrize("api", ["openai", "ollama"])
async def test_named_tokens_tell_whose_they_are(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        streamed = await sim.chat(api, "sim?tokens=2&named=1", "marker:me")
        whole = await sim.chat(api, "sim?tokens=2&named=1", "marker:me", stream=False)
    assert text(api, streamed) == "w0@me w1@me "
    said = whole.json()["message" if api == "ollama" else "choices"]
    assert (said if api == "ollama" else said[0]["message"])["content"] == "w0@me w1@me "
