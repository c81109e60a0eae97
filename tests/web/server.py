"""The whole server in virtual time, over a scripted provider, and what its clients say."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked
from werkzeug.exceptions import HTTPException

from jarvis_trio.assembly import assemble
from jarvis_trio.config import Settings
from jarvis_trio.engine.event_bus import EventBus
from jarvis_trio.events import Model
from jarvis_trio.store.memory import MemoryStore
from jarvis_trio.web.app import JarvisApp
from jarvis_trio.web.operations import OPERATIONS
from jarvis_trio.web.page_routes import NO_PAGE, Page
from tests.asgi_client import Body, Client, Exchange, running
from tests.scripted import Play, Script, ScriptedProvider, words

CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
DEVKEY = {"Authorization": "Bearer devkey"}
TEST_ENDS_WITHIN_SECONDS = 3600


def described_path(rule: str) -> str:
    """Return a route's rule as the document writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def stuck_in(phase: str, close_hangs_until: trio.Event | None = None) -> Play:
    """Return a play that stays in ``phase`` for ever."""
    for_ever = trio.Event()
    match phase:
        case "connect":
            return Play(before_accept=[for_ever])
        case "prefill":
            return Play(for_ever, close_hangs_until=close_hangs_until)
        case _:
            return Play(*words("a").steps[:1], for_ever, close_hangs_until=close_hangs_until)


def by_prompt(**plays: Play) -> Script:
    return lambda prompt: plays[prompt]


def events(body: bytes) -> list[Any]:
    """Return the data of each event of a streamed answer, ``[DONE]`` as a string."""
    frames = body.decode().split("\n\n")
    assert frames.pop() == "", "the last event has no end"
    data = [frame.removeprefix("data: ") for frame in frames if frame != ": ping"]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def text_of(body: bytes) -> str:
    """Return the text of a streamed answer."""
    chunks = [event for event in events(body) if "choices" in event]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content", "") for delta in deltas)


async def refusal(exchange: Exchange) -> dict[str, Any]:
    """Return the error, whose shape is checked."""
    answer = await exchange.json()
    assert list(answer) == ["error"]
    error: dict[str, Any] = answer["error"]
    assert set(error) - {"superseded_by"} == {"message", "type", "param", "code"}
    assert error["message"]
    return error


class FailingModels(ScriptedProvider):
    """A provider that lists no models but fails, or hangs."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__(words)
        self.failure = failure

    async def models(self) -> list[Model]:
        if self.failure is None:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        assert self.failure is not None
        raise self.failure


class Server:
    """The application, and what it was assembled from."""

    def __init__(
        self, app: JarvisApp, client: Client, provider: ScriptedProvider, bus: EventBus
    ) -> None:
        self.app = app
        self.provider = provider
        self.bus = bus
        self.files_of_the_page: set[str] = set()  # which the document leaves out
        self._client = client

    @asynccontextmanager
    async def request(self, method: str, path: str, **options: Any) -> AsyncIterator[Exchange]:
        """Send a request; whatever status it has in the end, the document must know."""
        async with self._client.request(method, path, **options) as exchange:
            yield exchange
        if exchange.has_begun:
            self._assert_described(method, path, await exchange.status())

    def _assert_described(self, method: str, path: str, status: int) -> None:
        try:
            routes = self.app.url_map.bind("localhost")
            rule, _ = routes.match(path.partition("?")[0], method, return_rule=True)
        except HTTPException:
            return  # no route of ours
        if method != "OPTIONS" and rule.rule not in self.files_of_the_page:
            operation = OPERATIONS["GET" if method == "HEAD" else method, described_path(rule.rule)]
            known = {error.status for error in operation.errors} | set(operation.content)
            assert status in known, f"{method} {path}: {status} is not in /openapi.json"

    def chat(
        self,
        prompt: str = "hello",
        *,
        stream: bool = True,
        session: str | None = None,
        headers: dict[str, str] | None = None,
        body: Body | None = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[Exchange]:
        """Send one prompt."""
        named = {} if session is None else {"X-Session-Id": session}
        if body is None:
            body = json.dumps({"prompt": prompt, "stream": stream}).encode()
        headers = {**JSON, **DEVKEY, **named, **(headers or {})}
        return self.request("POST", CHAT, headers=headers, body=body, **options)

    async def metric(self, name: str) -> float:
        """Read one sample from ``GET /metrics``."""
        async with self.request("GET", "/metrics") as exchange:
            lines = (await exchange.read()).decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))

    async def assert_nothing_is_left(self) -> None:
        """I6, for whatever unwinds without the clock moving."""
        await wait_all_tasks_blocked()
        assert self.provider.open == 0
        assert await self.metric("jarvis_streams_live") == 0


@asynccontextmanager
async def serving(
    script: Script = words,
    *,
    provider: ScriptedProvider | None = None,
    page: Page = NO_PAGE,
    **settings: Any,
) -> AsyncIterator[Server]:
    """Run the server; a test that takes an hour of virtual time has hung."""
    provider = provider or ScriptedProvider(script)
    bus = EventBus()
    app = assemble(Settings(**settings), provider, MemoryStore(), bus, page=page)
    with trio.fail_after(TEST_ENDS_WITHIN_SECONDS):
        async with running(app) as client:
            server = Server(app, client, provider, bus)
            server.files_of_the_page = {*page} - {"/"}
            yield server
