"""A client that sees what is on the wire: bytes, framing, and how the connection ended."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import httptools
import trio

Api = Literal["openai", "ollama"]
PATHS = {"openai": "/v1/chat/completions", "ollama": "/api/chat"}


class Answer:
    """One HTTP answer, as far as it has come; ``ended`` is how its reading stopped."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.chunks = 0
        self.ended: Literal["no", "complete", "fin", "reset"] = "no"
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_chunk_header(self) -> None:
        self.chunks += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended = "complete"

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """Parse the server-sent events' data; ``[DONE]`` as it is."""
        datas = [each.removeprefix(b"data: ") for each in self.body.split(b"\n\n") if each]
        return [data if data == b"[DONE]" else json.loads(data) for data in datas]

    def lines(self) -> list[Any]:
        """Parse the lines of NDJSON."""
        return [json.loads(line) for line in self.body.split(b"\n") if line]


class Connection:
    """One TCP connection to the sim."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._answer = Answer()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: str = "",
        version: str = "1.1",
    ) -> None:
        head = f"{method} {path} HTTP/{version}\r\nhost: sim\r\ncontent-length: {len(body)}\r\n"
        await self.stream.send_all(head.encode() + headers.encode() + b"\r\n" + body)

    async def ask(self, api: Api, model: str, prompt: str = "hello", **more: Any) -> None:
        """Send a prompt; a stream unless told otherwise."""
        await self.send("POST", PATHS[api], chat_body(model, prompt, **more))

    async def read(self, until: bytes | None = None) -> Answer:
        """Read the answer to its end, or until its body contains ``until``."""
        answer = self._answer
        while answer.ended == "no" and (until is None or until not in answer.body):
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                answer.ended = "reset"
                break
            if data:
                answer.feed(data)
            elif answer.ended == "no":
                answer.ended = "fin"
        if answer.ended == "complete":
            self._answer = Answer()
        return answer

    async def read_headers(self) -> Answer:
        while self._answer.status == 0:
            self._answer.feed(await self.stream.receive_some(65536))
        return self._answer

    async def is_closed_by_peer(self) -> bool:
        """Wait for the end of the connection: True when it is a clean FIN, without more bytes."""
        return await self.stream.receive_some(1) == b""

    def close(self) -> None:
        self.stream.socket.close()


def chat_body(model: str, prompt: str = "hello", **more: Any) -> bytes:
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({"model": model, "messages": messages, "stream": True} | more).encode()


class SimClient:
    """The sim at a port, as a test sees it."""

    def __init__(self, port: int) -> None:
        self.port = port

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        connection = Connection(stream)
        try:
            yield connection
        finally:
            connection.close()

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: str = "", version: str = "1.1"
    ) -> Answer:
        async with self.connect() as connection:
            await connection.send(method, path, body, headers, version)
            return await connection.read()

    async def get(self, path: str) -> Any:
        """Get the JSON at a path."""
        return (await self.request("GET", path)).json()

    async def chat(self, api: Api, model: str, prompt: str = "hello", **more: Any) -> Answer:
        """One prompt on a connection of its own, read to the end."""
        async with self.connect() as connection:
            await connection.ask(api, model, prompt, **more)
            return await connection.read()

    async def happened(self, marker: str, kind: str) -> Any:
        """Wait until the sim has recorded this."""
        return await self.get(f"/sim/wait?marker={marker}&kind={kind}")

    async def exchange(self, marker: str) -> Any:
        """Get the only exchange with this marker."""
        (exchange,) = (await self.get("/sim/stats"))["by_marker"][marker]
        return exchange


def words(tokens: int) -> str:
    return "".join(f"w{index} " for index in range(tokens))


def text(api: Api, answer: Answer) -> str:
    """Join the text of a streamed answer: every piece, in order of arrival."""
    if api == "ollama":
        return "".join(line["message"]["content"] for line in answer.lines() if "message" in line)
    chunks = [event for event in answer.events() if event != b"[DONE]" and "choices" in event]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content", "") for delta in deltas)
