"""jarvis_trio in front of a real engine: the slots are the oracle for "the GPU is free"."""

from collections.abc import Iterator
from functools import partial

import httpx
import openai
import pytest
import trio
from openai.types.chat import ChatCompletionMessageParam

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.llama_cpp.engine import LlamaServer
from tests.end_to_end.llama_cpp.model import words
from tests.end_to_end.processes import KEY, Server, running_server

ENDLESS = 10_000
LONG_PROMPT = 2_500

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def server(llama_server: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("through")
    with running_server(path, f"openai:{llama_server.url}/v1") as server:
        server.wait_for_log("server_ready")
        yield server


@pytest.fixture(autouse=True)
def idle_before_and_after(llama_server: LlamaServer) -> Iterator[None]:
    llama_server.wait_idle(60)
    yield
    llama_server.wait_idle(60)


async def assert_answered(server: Server, session: str) -> None:
    """The next prompt of the session is answered, whole."""
    with trio.fail_after(60):
        answer = await prompt(server.url, words(5), session=session, max_tokens=20)
    assert answer.is_complete
    assert len(answer.text.split()) >= 20


async def test_a_streamed_chat(server: Server) -> None:
    answer = await prompt(
        server.url, words(5), max_tokens=30, stream_options={"include_usage": True}
    )
    assert answer.is_complete
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 30
    assert answer.text.strip()


def test_the_official_client_in_front_of_a_real_engine(server: Server) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="devkey") as client:
        model = client.models.list().data[0].id
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": words(5)}]
        whole = client.chat.completions.create(
            model=model,
            messages=messages,
            max_tokens=12,
            temperature=0,
            seed=1,
        )
        pieces = client.chat.completions.create(
            model=model,
            messages=messages,
            max_tokens=12,
            temperature=0,
            seed=1,
            stream=True,
        )
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert whole.choices[0].message.content == streamed
    assert whole.choices[0].finish_reason == "length"


async def test_supersede_during_decode_frees_the_slot(
    server: Server, llama_server: LlamaServer
) -> None:
    first = Exchange()
    made_before = llama_server.counter("tokens_predicted_total")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                prompt, server.url, words(5), session="decode", exchange=first, max_tokens=ENDLESS
            )
        )
        with trio.fail_after(60):
            await first.first_text.wait()
        await assert_answered(server, "decode")
    assert first.error_code == "superseded"
    llama_server.wait_idle(10)
    # The endless answer was not made to its end.
    assert llama_server.counter("tokens_predicted_total") - made_before < ENDLESS / 2


async def test_supersede_during_a_long_prefill_frees_the_slot(
    server: Server, llama_server: LlamaServer
) -> None:
    first = Exchange()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                prompt,
                server.url,
                words(LONG_PROMPT),
                session="prefill",
                exchange=first,
                max_tokens=ENDLESS,
            )
        )
        await trio.to_thread.run_sync(llama_server.wait_busy, 30)
        await assert_answered(server, "prefill")
    assert first.error_code == "superseded"
    assert first.text == ""
    llama_server.wait_idle(60)


@pytest.mark.parametrize("phase", ["decode", "prefill"])
async def test_a_stop_is_answered_when_the_slot_is_free(
    server: Server, llama_server: LlamaServer, phase: str
) -> None:
    live = Exchange()
    text = words(5 if phase == "decode" else LONG_PROMPT, first=4)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(prompt, server.url, text, session="stopped", exchange=live, max_tokens=ENDLESS)
        )
        with trio.fail_after(60):
            if phase == "decode":
                await live.first_text.wait()
            await trio.to_thread.run_sync(llama_server.wait_busy, 30)
            async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
                stop = await client.post("/v1/sessions/stopped/cancel", headers=KEY)
        assert llama_server.busy() == 0
    receipt = stop.json()
    assert (receipt["status"], receipt["phase"]) == ("cancelled", phase), receipt
    assert 0 <= receipt["upstream_closed_ms"] <= receipt["backend_idle_ms"] <= 2000
    assert live.error_code == "stopped"
    await assert_answered(server, "stopped")


async def test_ten_rapid_prompts_leave_an_idle_engine(
    server: Server, llama_server: LlamaServer
) -> None:
    answers = [Exchange() for _ in range(10)]
    async with trio.open_nursery() as nursery:
        for answer in answers:
            nursery.start_soon(
                partial(
                    prompt, server.url, words(5), session="rapid", exchange=answer, max_tokens=100
                )
            )
            await trio.sleep(0.05)
    assert [answer.is_complete for answer in answers] == [False] * 9 + [True]
    assert {answer.error_code for answer in answers[:-1]} == {"superseded"}
    llama_server.wait_idle(10)


async def test_a_client_that_leaves_frees_the_slot(
    server: Server, llama_server: LlamaServer
) -> None:
    """Also for stream=false, which llama.cpp itself does not cancel."""
    for streaming in (True, False):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(
                    prompt,
                    server.url,
                    words(5),
                    stream=streaming,
                    max_tokens=ENDLESS,
                    trace=f"left-{streaming}",
                )
            )
            await trio.to_thread.run_sync(llama_server.wait_busy, 30)
            nursery.cancel_scope.cancel(reason="the client leaves")
        llama_server.wait_idle(10)


async def test_a_prompt_that_is_too_long_is_a_sentence(server: Server) -> None:
    answer = await prompt(server.url, words(20_000), max_tokens=5)
    assert answer.status == 400
    assert answer.error_code == "upstream_rejected"
    assert b"context size" in answer.raw
