"""A model server that the test plays itself, byte by byte, behind a jarvis_trio in its process."""

import contextlib
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.processes import (
    APP,
    Server,
    fetch,
    reserved_port,
    running_server,
    settled_descriptors,
    wait_until,
)
from tests.providers.raw_server import RawPeer, RawServer, raw_server

SECRET = "a-prompt-that-no-log-may-tell"
ENDS_WITHIN_SECONDS = 30
"""Far beyond the timeouts that these servers are given, and far below never."""

PATIENT_APP = "tests.end_to_end.faults.patient_app:app"

CAUSES = {"upstream_eof": "upstream_eof", "upstream_timeout": "upstream_timeout"}

Play = Callable[[RawPeer, bytes], Awaitable[None]]
"""Answers one chat, whose request has been read."""


@dataclass(frozen=True)
class Api:
    """What a model server says, written down without our codecs."""

    name: str
    path: str
    media_type: str
    models: bytes
    token: bytes
    error: bytes
    finish: bytes
    end: bytes

    def tokens(self, *numbers: int) -> bytes:
        return b"".join(self.token % number for number in numbers)

    def head(self, *headers: str) -> bytes:
        return head(200, f"Content-Type: {self.media_type}", *headers)

    @property
    def answer(self) -> bytes:
        """A whole body that says ``w0 w1``."""
        return self.tokens(0, 1) + self.finish + self.end


OLLAMA = Api(
    name="ollama",
    path="",
    media_type="application/x-ndjson",
    models=b'{"models":[{"name":"m"}]}',
    token=b'{"message":{"content":"w%d "},"done":false}\n',
    error=b'{"error":"out of memory at %b"}\n' % SECRET.encode(),
    finish=b"",
    end=b'{"done":true,"done_reason":"stop"}\n',
)
OPENAI = Api(
    name="openai",
    path="/v1",
    media_type="text/event-stream",
    models=b'{"data":[{"id":"m"}]}',
    token=b'data: {"choices":[{"delta":{"content":"w%d "}}]}\n\n',
    error=b'data: {"error":{"message":"out of memory at %b"}}\n\n' % SECRET.encode(),
    finish=b'data: {"choices":[{"finish_reason":"stop"}]}\n\n',
    end=b"data: [DONE]\n\n",
)
APIS = {"ollama": OLLAMA, "openai": OPENAI}


def head(status: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *headers, "", ""]
    return "\r\n".join(lines).encode()


def saying(*pieces: bytes, then: str = "close") -> Play:
    """Say all this, and then ``close``, ``reset``, or ``stay`` until the client closes."""

    async def play(peer: RawPeer, _: bytes) -> None:
        await peer.stream.send_all(b"".join(pieces))
        if then == "reset":
            peer.reset()
        elif then == "stay":
            await peer.see_close()

    return play


class PlayedUpstream:
    """A server, and the port where it looks for its model server: nobody's, unless played."""

    def __init__(self, server: Server, api: Api, host: str, port: int) -> None:
        self.server = server
        self.api = api
        self.port = port
        self.name = f"{api.name} at {host}:{port}"
        self.descriptors = settled_descriptors(server)

    @contextlib.asynccontextmanager
    async def playing(
        self, play: Play, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[RawServer]:
        """Answer chats by ``play``, and questions for models as one does."""

        async def handle(peer: RawPeer) -> None:
            request = await peer.read_request()
            if request.startswith(b"GET "):
                await peer.stream.send_all(head(200) + self.api.models)
            else:
                await play(peer, request)

        async with raw_server(handle, tls, port=self.port) as raw:
            yield raw

    async def ask(self, text: str = SECRET, **options: Any) -> Exchange:
        """Send one prompt and wait for its end."""
        with trio.fail_after(ENDS_WITHIN_SECONDS):
            return await prompt(self.server.url, text, **({"model": "m"} | options))

    async def answer_to(self, play: Play, **options: Any) -> Exchange:
        """Send one prompt to a model server that is played; see that its connection is closed."""
        async with self.playing(play) as raw:
            exchange = await self.ask(**options)
            with trio.fail_after(ENDS_WITHIN_SECONDS):
                await raw.wait_handled(raw.accepted)
        return exchange

    def assert_idle(self) -> None:
        """I6, as seen from outside."""
        self.server.wait_until_idle()
        metrics = fetch(f"{self.server.url}/metrics").text
        assert "\njarvis_streams_live 0.0\n" in metrics
        wait_until(lambda: self.server.descriptors() <= self.descriptors)

    def assert_failed(
        self, exchange: Exchange, trace: str, code: str, status: int, text: str | None
    ) -> str:
        """See an honest failure, and nothing left of it; return its message.

        ``text`` is what came before an error frame, None for a failure before the first byte.
        """
        error = failure(exchange, text)
        assert exchange.status == (status if text is None else 200)
        assert error["code"] == code, error
        assert self.name in error["message"]
        (line,) = self.server.wait_for_log("stream_failed", trace=trace)
        assert line["code"] == code
        cause = CAUSES.get(code, "upstream_error")
        self.server.wait_for_log("stream_end", trace=trace, cause=cause, cleanup_done="True")
        assert SECRET not in self.server.log_path.read_text("utf-8")
        self.assert_idle()
        message: str = error["message"]
        return message

    async def fails(
        self, play: Play, code: str, status: int = 502, *, text: str | None = None, **options: Any
    ) -> str:
        """Let ``play`` answer a prompt, which must fail honestly; see :meth:`assert_failed`."""
        trace = uuid.uuid4().hex
        exchange = await self.answer_to(play, trace=trace, **options)
        return self.assert_failed(exchange, trace, code, status, text)


def failure(exchange: Exchange, text: str | None) -> dict[str, Any]:
    """Return the one error of an exchange that has no other end."""
    if text is None:
        error: dict[str, Any] = json.loads(exchange.raw)["error"]
    else:
        assert exchange.ends_with_done
        assert exchange.text == text
        *chunks, last = exchange.chunks
        assert not any(choice["finish_reason"] for c in chunks for choice in c["choices"])
        error = last["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@contextlib.contextmanager
def server_before_upstream(
    path: Path,
    kind: str,
    *,
    scheme: str = "http",
    host: str = "127.0.0.1",
    is_patient: bool = True,
    **settings: Any,
) -> Iterator[PlayedUpstream]:
    """Run a server whose model server is not there yet; it is patient with its refusals."""
    app = PATIENT_APP if is_patient else APP
    api = APIS[kind]
    with reserved_port() as port:
        url = f"{kind}:{scheme}://{host}:{port}{api.path}"
        with running_server(path, url, app=app, upstream_retries="0", **settings) as server:
            server.wait_for_log("upstream_not_ready")
            trio.run(prompt, server.url, "so that what is opened only once is open")
            server.wait_for_log("stream_failed")
            yield PlayedUpstream(server, api, host, port)


def servers_before_upstream(**settings: Any) -> Any:
    """Return a module's fixture: such a server, once for each API."""

    @pytest.fixture(scope="module", params=list(APIS))
    def upstream(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[PlayedUpstream]:
        path = tmp_path_factory.mktemp(request.param)
        with server_before_upstream(path, request.param, **settings) as upstream:
            yield upstream

    return upstream
