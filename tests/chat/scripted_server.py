"""A server in memory, which does what the test tells it to."""

import json
from collections import deque
from typing import Any

import httpx
import trio

from jarvis_trio.chat.client import Client

MOST_FRAMES = 1000


def chunk(text: str | None = None, finish: str | None = None, **delta: str) -> bytes:
    """Return one event of an answer."""
    if text is not None:
        delta["content"] = text
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def event(value: Any) -> bytes:
    """Return one event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def failure(code: str, message: str) -> bytes:
    """Return an error's frame."""
    return event({"error": {"message": message, "type": "server_error", "code": code}})


DONE = b"data: [DONE]\n\n"
GOOD_END = chunk(finish="stop") + DONE


class Body(httpx.AsyncByteStream):
    """An answer that grows as the test sends; ``closed`` says that its reader has left or read."""

    def __init__(self) -> None:
        self.send, self._receive = trio.open_memory_channel[bytes](MOST_FRAMES)
        self.closed = trio.Event()

    def say(self, *frames: bytes) -> None:
        """Send more of it."""
        for frame in frames:
            self.send.send_nowait(frame)

    def end(self, *frames: bytes) -> None:
        """Send the last of it."""
        self.say(*frames)
        self.send.close()

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        return await self._receive.__anext__()

    async def aclose(self) -> None:
        self._receive.close()
        self.closed.set()


class Asked:
    """A request, which waits for its answer."""

    def __init__(self, request: httpx.Request) -> None:
        self.request = request
        self.answered = trio.Event()
        self.response: httpx.Response | Exception | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.request.content)

    def answer(self, stream_id: str = "str_1") -> Body:
        """Begin an answer."""
        body = Body()
        self.reply(httpx.Response(200, headers={"x-stream-id": stream_id}, stream=body))
        return body

    def reply_with(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.reply(httpx.Response(status, json=value))

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer with an error."""
        self.reply_with({"error": {"message": message, "code": code}}, status)

    def reply(self, response: httpx.Response | Exception) -> None:
        """Answer."""
        self.response = response
        self.answered.set()


class ScriptedServer(httpx.AsyncBaseTransport):
    """Keeps what was asked until the test takes it."""

    def __init__(self) -> None:
        self.asked: deque[Asked] = deque()
        self.takes_nothing = False

    def client(self) -> Client:
        """Return a client of it."""
        return Client(httpx.AsyncClient(transport=self, base_url="http://server.test/"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = Asked(request)
        if self.takes_nothing:
            assert isinstance(request.stream, httpx.AsyncByteStream)
            async for _ in request.stream:
                await trio.sleep_forever()
        self.asked.append(asked)
        await asked.answered.wait()
        if isinstance(asked.response, Exception):
            raise asked.response
        assert asked.response is not None
        return asked.response

    async def next(self, path: str = "/v1/chat/completions") -> Asked:
        """Wait for the next request, which must be for that path."""
        await trio.testing.wait_all_tasks_blocked()
        asked = self.asked.popleft()
        assert asked.request.url.path == path
        return asked
