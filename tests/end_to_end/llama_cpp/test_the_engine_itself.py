"""What the real llama.cpp does, so that the other tests here may lean on it.

An answer of ``ENDLESS`` tokens takes at least ten seconds; so a slot that is free after a fraction
of them was freed by the close.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.end_to_end.llama_cpp.engine import LlamaServer
from tests.end_to_end.llama_cpp.model import words

ENDLESS = 10_000
LONG_PROMPT = 2_500
TEMPLATE_TOKENS = 18

pytestmark = pytest.mark.alone


@contextmanager
def chat(server: LlamaServer, prompt: str, **extra: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """Post a streamed chat on a connection of its own; leaving the block closes the connection."""
    body = {"messages": [{"role": "user", "content": prompt}], "stream": True, **extra}
    with (
        httpx.Client(base_url=server.url, timeout=60) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        assert response.status_code == 200, response.read()
        yield events(response)


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Every chunk as parsed JSON; ends at ``[DONE]``, and fails if it never comes."""
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line:
            yield json.loads(line.removeprefix("data: "))
    pytest.fail("the stream ended without [DONE]")


def text_of(chunk: dict[str, Any]) -> str:
    """Return the text a chunk adds; empty for the role, finish and usage chunks."""
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


def test_a_streamed_answer_is_role_words_finish_usage_and_done(llama_server: LlamaServer) -> None:
    with chat(
        llama_server, words(5), max_tokens=20, stream_options={"include_usage": True}
    ) as chunks:
        role, *middle, finish, usage = chunks
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert len(middle) == 20
    assert all(text_of(chunk).strip() for chunk in middle)
    assert finish["choices"][0]["delta"] == {}
    assert finish["choices"][0]["finish_reason"] == "length"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 20
    assert len({chunk["id"] for chunk in (role, *middle, finish, usage)}) == 1


def test_a_prompt_of_n_words_is_n_tokens_and_the_template(llama_server: LlamaServer) -> None:
    body = {"messages": [{"role": "user", "content": words(300)}], "max_tokens": 1}
    for _ in range(2):
        answer = httpx.post(f"{llama_server.url}/v1/chat/completions", json=body, timeout=60)
        usage = answer.json()["usage"]
        assert usage["prompt_tokens"] == 300 + TEMPLATE_TOKENS
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_longer_than_the_context_is_refused_with_400(
    llama_server: LlamaServer, stream: bool
) -> None:
    body = {"messages": [{"role": "user", "content": words(20_000)}], "stream": stream}
    answer = httpx.post(f"{llama_server.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "exceed_context_size_error"
    assert error["n_prompt_tokens"] == 20_000 + TEMPLATE_TOKENS
    assert error["n_ctx"] == 16_384


def test_closing_in_decode_frees_the_slot_long_before_the_answer_ends(
    llama_server: LlamaServer,
) -> None:
    before = llama_server.counter("tokens_predicted_total")
    with chat(llama_server, words(5), max_tokens=ENDLESS) as chunks:
        assert [text_of(next(chunks)) for _ in range(10)]
        assert llama_server.busy() == 1
    llama_server.wait_idle(10)
    assert llama_server.counter("tokens_predicted_total") - before < ENDLESS / 4


def test_with_return_progress_closing_in_prefill_frees_the_slot_between_batches(
    llama_server: LlamaServer,
) -> None:
    """A progress chunk after each batch is a write, and a write is how it learns of the close."""
    before = llama_server.counter("prompt_tokens_total")
    with chat(
        llama_server, words(LONG_PROMPT, first=2), max_tokens=ENDLESS, return_progress=True
    ) as chunks:
        assert next(chunks)["prompt_progress"]["processed"] == 0
    llama_server.wait_idle(60)
    prefilled = llama_server.counter("prompt_tokens_total") - before
    assert prefilled < LONG_PROMPT + TEMPLATE_TOKENS


def test_two_streams_are_answered_side_by_side(llama_server: LlamaServer) -> None:
    with ExitStack() as stack:
        streams = [
            stack.enter_context(chat(llama_server, words(5, first=first), max_tokens=200))
            for first in (3, 4)
        ]
        for chunks in streams:
            next(chunks)
        llama_server.wait_busy(10, slots=2)
        for chunks in streams:
            assert len([chunk for chunk in chunks if text_of(chunk)]) == 200
    llama_server.wait_idle(10)
