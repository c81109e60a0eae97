"""How busy a model server says it is, asked where its kind says so."""

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.errors import JarvisError, UpstreamError
from jarvis_trio.events import ChatRequest, Message
from jarvis_trio.providers.ollama import OllamaProvider
from jarvis_trio.providers.openai_compatible import OpenAICompatibleProvider
from jarvis_trio.providers.simulated import SimulatedProvider
from tests.providers.raw_server import Handler, RawPeer, RawServer, raw_server

ASK = ChatRequest(messages=(Message("user", "hi"),))
SLOTS = b'[{"id":0,"is_processing":true},{"id":1,"is_processing":true}]'
METRICS = b'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting 1.0\n'


def owned_by(owner: str, **pages: tuple[int, bytes]) -> Handler:
    """Return a server whose models have that owner, with these pages at its root."""
    models = b'{"data":[{"id":"m","owned_by":"%s"}]}' % owner.encode()

    async def answer(peer: RawPeer) -> None:
        path = (await peer.read_request()).split(b" ", 2)[1].decode()
        status, body = (200, models) if path == "/v1/models" else pages[path.removeprefix("/")]
        head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        await peer.send(head + body)

    return answer


def provider_for(server: RawServer) -> OpenAICompatibleProvider:
    return OpenAICompatibleProvider(f"{server.url}/v1", None, 5)


@pytest.mark.parametrize(
    ("handler", "busy"),
    [
        pytest.param(owned_by("llamacpp", slots=(200, SLOTS)), 2, id="llama.cpp"),
        pytest.param(owned_by("vllm", metrics=(200, METRICS)), 4, id="vLLM"),
        pytest.param(owned_by("somebody"), None, id="unknown"),
    ],
)
async def test_it_is_asked_at_its_root(handler: Handler, busy: int | None) -> None:
    with trio.fail_after(10):
        async with raw_server(handler) as server:
            provider = provider_for(server)
            assert await provider.busy() is None  # before it is known what it is
            await provider.models()
            assert await provider.busy() == busy


@pytest.mark.parametrize(
    "page", [(501, b'{"error":{"message":"disabled"}}'), (404, b""), (200, b"<html>"), (200, b"{}")]
)
async def test_one_that_does_not_say_is_an_error_of_its_own(page: tuple[int, bytes]) -> None:
    with trio.fail_after(10):
        async with raw_server(owned_by("llamacpp", slots=page)) as server:
            provider = provider_for(server)
            await provider.models()
            with pytest.raises(JarvisError) as caught:
                await provider.busy()
    assert isinstance(caught.value, UpstreamError)


async def test_an_ollama_does_not_say() -> None:
    assert await OllamaProvider("http://127.0.0.1:9", None, 5).busy() is None


async def test_the_built_in_model_counts_its_answers(autojump_clock: MockClock) -> None:
    provider = SimulatedProvider()
    assert await provider.busy() == 0
    async with provider.chat(ASK):
        assert await provider.busy() == 1
    assert await provider.busy() == 0
