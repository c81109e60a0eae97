"""One browser for these tests; each has contexts, and servers to play, of its own."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from jarvis_trio.web.page_routes import BUILT
from tests.browser.backstage import Backstage, backstage
from tests.browser.chat_page import REMEMBER_CHANGES, ChatPage
from tests.browser.chromium import EXPECT_WITHIN_MS, PROGRAM, chromium
from tests.browser.played_server import PlayedServer
from tests.browser.proxy import Proxy
from tests.browser.watch import Watch
from tests.end_to_end.processes import Server, Sim, running_server, running_sim

OpenChat = Callable[..., ChatPage]
PlayServer = Callable[..., PlayedServer]


def named_prompt(sim: Sim, name: str, options: str = "") -> str:
    """Return a prompt whose answer by the mock upstream says in each word whose it is."""
    sim.script(name, f"sim?named=1{options}")
    return f"marker:{name}"


def missing() -> str | None:
    """Say what these tests cannot do without, if it is not there."""
    if PROGRAM is None:
        return "there is no chromium on this machine: the chat page is NOT tested"
    if not (BUILT / "index.html").is_file():
        return f"the page is not built in {BUILT}: the chat page is NOT tested"
    return None


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, headless."""
    if why := missing():
        pytest.skip(why)
    with sync_playwright() as playwright, chromium(playwright) as browser:
        yield browser


@pytest.fixture
def contexts(
    browser: Browser, stage: Backstage
) -> Iterator[Callable[..., tuple[BrowserContext, Watch]]]:
    """Makes contexts that are watched, and at the end asserts that nothing went wrong in any.

    They are closed before what is played on the ``stage`` ends.
    """
    opened: list[tuple[BrowserContext, Watch]] = []

    def open_context(origin: str, **options: Any) -> tuple[BrowserContext, Watch]:
        context = browser.new_context(**options)
        context.set_default_timeout(EXPECT_WITHIN_MS)
        watch = Watch(origin)
        watch.begin(context)
        context.add_init_script(REMEMBER_CHANGES)
        opened.append((context, watch))
        return context, watch

    yield open_context
    for context, _ in opened:
        context.close()
    for _, watch in opened:
        watch.assert_nothing_went_wrong()


@pytest.fixture
def open_chat(contexts: Callable[..., tuple[BrowserContext, Watch]]) -> OpenChat:
    """Opens the page of a server in a browser of its own, or with ``beside`` in another tab."""

    def open_page(
        url: str,
        path: str = "/",
        *,
        beside: ChatPage | None = None,
        scripts: Sequence[str] = (),
        before: Callable[[Page], object] = lambda _: None,
        **options: Any,
    ) -> ChatPage:
        if beside is None:
            context, watch = contexts(url, **options)
        else:
            context, watch = beside.page.context, beside.watch
        page = context.new_page()
        for script in scripts:
            page.add_init_script(script)
        before(page)
        page.goto(url + path)
        return ChatPage(page, watch)

    return open_page


@pytest.fixture
def stage() -> Iterator[Backstage]:
    """Where the servers run that the test plays."""
    with backstage() as stage:
        yield stage


@pytest.fixture
def play_server(browser: Browser, stage: Backstage) -> PlayServer:
    """Starts a server that the test plays."""
    return lambda **options: PlayedServer(stage, **options)


@pytest.fixture
def played(play_server: PlayServer) -> PlayedServer:
    """A server that the test plays, and that behaves unless told otherwise."""
    return play_server()


@pytest.fixture(scope="package")
def shared_sim() -> Iterator[Sim]:
    """A mock upstream: 50 tokens a second, answers of 60 tokens, which say whose they are."""
    with running_sim("--tokens-per-second", "50", "--tokens", "60") as sim:
        yield sim


@pytest.fixture(scope="package")
def server(
    browser: Browser, shared_sim: Sim, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The real server over the mock upstream."""
    path = tmp_path_factory.mktemp("page")
    with running_server(path, shared_sim.upstream("openai"), database="memory:") as server:
        yield server


@pytest.fixture
def sim(shared_sim: Sim) -> Sim:
    """The mock upstream with a clean record."""
    shared_sim.reset()
    return shared_sim


@pytest.fixture
def proxy(stage: Backstage, server: Server) -> Proxy:
    """A network before the real server."""
    return Proxy(stage, server.url)


@pytest.fixture
def chat(open_chat: OpenChat, server: Server) -> ChatPage:
    """The real server's page."""
    return open_chat(server.url)
