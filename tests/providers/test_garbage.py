"""What a request leaves behind: nothing that would have to wait for the garbage collector."""

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from jarvis_trio.errors import JarvisError
from jarvis_trio.events import ChatRequest, Message
from jarvis_trio.providers.openai_compatible import OpenAICompatibleProvider
from tests.interpreter import LEAVES_CYCLES, WHY
from tests.providers.raw_server import (
    Handler,
    RawPeer,
    RawServer,
    answering,
    answering_and_staying,
    raw_server,
    unaccepting_port,
)

ASK = ChatRequest(messages=(Message("user", "hi"),), model="m")
ONE = b'data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OURS = ("jarvis_trio", "httptools", "httpx")
TIMES = 5


@contextmanager
def garbage() -> Iterator[list[str]]:
    """Give the kinds of all that of ours only the collector would find."""
    kinds: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield kinds
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found: list[Any] = gc.garbage
        kinds += [type(one).__name__ for one in found if type(one).__module__.startswith(OURS)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def read_until_told_why_not(
    provider: OpenAICompatibleProvider, request: ChatRequest = ASK
) -> None:
    with suppress(JarvisError):
        async with provider.chat(request) as answer:
            while await answer.receive():
                await answer.gather(0.01)


async def resetting(peer: RawPeer) -> None:
    await peer.read_request()
    await peer.send(STREAM + ONE)
    peer.reset()


ENDS: dict[str, Handler] = {
    "complete": answering(STREAM + ONE + DONE),
    "complete, staying": answering_and_staying(CHUNKED + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
    "refused": answering(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}"),
    "not there": answering(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}"),
    "no answer": answering(b""),
    "not HTTP": answering(b"what is this\r\n\r\n"),
    "no end marker": answering(STREAM + ONE),
    "cut off": answering(CHUNKED + b"ff\r\n" + ONE),
    "no chunk": answering(CHUNKED + b"1\r\n\n\r\nno chunk\r\n"),
    "malformed": answering(STREAM + ONE + b"data: {oops\n\n"),
    "too long": answering(STREAM + b"data: " + b"x" * (5 * 1024 * 1024)),
    "error": answering(STREAM + ONE + b'data: {"error":{"message":"no"}}\n\n'),
    "reset": resetting,
}


@pytest.mark.parametrize("end", list(ENDS))
async def test_an_answer_leaves_nothing_for_the_collector(end: str) -> None:
    with trio.fail_after(10):
        async with raw_server(ENDS[end]) as server:
            provider = OpenAICompatibleProvider(f"{server.url}/v1", None, 5)
            await read_until_told_why_not(provider)
            with garbage() as kinds:
                for _ in range(TIMES):
                    await read_until_told_why_not(provider)
    assert kinds == []


async def test_a_large_prompt_leaves_nothing_for_the_collector() -> None:
    async def handler(peer: RawPeer) -> None:
        await peer.read_head()

    large = ChatRequest(messages=(Message("user", "x" * 12_000_000),), model="m")
    with trio.fail_after(10):
        async with raw_server(handler) as server:
            provider = OpenAICompatibleProvider(f"{server.url}/v1", None, 5)
            provider._is_llama_cpp = False
            with garbage() as kinds:
                for _ in range(TIMES):
                    await read_until_told_why_not(provider, large)
    assert kinds == []


async def test_a_server_that_is_not_there_leaves_nothing_for_the_collector() -> None:
    with socket.socket() as holder, trio.fail_after(10):
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}/v1"
        provider = OpenAICompatibleProvider(url, None, 5)
        with garbage() as kinds:
            for _ in range(TIMES):
                await read_until_told_why_not(provider)
    assert kinds == []


@pytest.mark.skipif(LEAVES_CYCLES, reason=WHY)
async def test_a_server_that_does_not_accept_leaves_nothing_for_the_collector() -> None:
    with unaccepting_port() as port, trio.fail_after(10):
        provider = OpenAICompatibleProvider(f"http://127.0.0.1:{port}/v1", None, 0.01)
        with garbage() as kinds:
            for _ in range(TIMES):
                await read_until_told_why_not(provider)
    assert kinds == []


@pytest.mark.parametrize("sent", [b"", STREAM, STREAM + ONE], ids=["waiting", "head", "body"])
async def test_a_cancel_leaves_nothing_for_the_collector(sent: bytes) -> None:
    async def leave(server: RawServer, provider: OpenAICompatibleProvider) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_until_told_why_not, provider)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel(reason="test")

    with trio.fail_after(10):
        async with raw_server(answering_and_staying(sent)) as server:
            provider = OpenAICompatibleProvider(f"{server.url}/v1", None, 5)
            provider._is_llama_cpp = False
            await leave(server, provider)
            with garbage() as kinds:
                for _ in range(TIMES):
                    await leave(server, provider)
    assert kinds == []
