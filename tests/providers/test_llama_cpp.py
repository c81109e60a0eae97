"""What llama.cpp is asked for beyond the format, and nobody else."""

import json

import pytest
import trio

from jarvis_trio.events import ChatRequest, Message
from jarvis_trio.providers.openai_compatible import OpenAICompatibleProvider
from tests.providers.raw_server import RawPeer, raw_server

ASK = ChatRequest(messages=(Message("user", "hi"),), model="m")
ANSWER = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(("owner", "asked"), [("llamacpp", True), ("vllm", None)])
async def test_only_llama_cpp_is_asked_for_progress(owner: str, asked: bool | None) -> None:
    """With it, a cancelled prompt frees its slot in prefill; a strict server would refuse it."""
    models = json.dumps({"data": [{"id": "m", "owned_by": owner}]}).encode()
    bodies = []

    async def serve(peer: RawPeer) -> None:
        head, _, body = (await peer.read_request()).partition(b"\r\n\r\n")
        answer = models if head.startswith(b"GET") else ANSWER
        bodies.append(body)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    with trio.fail_after(10):
        async with raw_server(serve) as server:
            provider = OpenAICompatibleProvider(f"{server.url}/v1", None, 5)
            async with provider.chat(ASK) as reply:
                while await reply.receive():
                    pass
    assert json.loads(bodies[1]).get("return_progress") is asked
