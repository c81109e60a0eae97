"""Keys: asked for once, kept in the tab, sent to this server and to nobody else."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat, named_prompt
from tests.browser.watch import Watch
from tests.end_to_end.processes import Server, Sim, running_server

KEY = "a-long-k\u00e9y"
KEPT = """() => JSON.stringify([
  Object.entries(localStorage), document.cookie, location.href, document.documentElement.outerHTML,
])"""


@pytest.fixture(scope="module")
def locked(
    browser: Browser, shared_sim: Sim, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that opens to one key."""
    path = tmp_path_factory.mktemp("locked")
    upstream = shared_sim.upstream("openai")
    with running_server(path, upstream, database="memory:", api_keys=KEY) as server:
        yield server


def sign_in(chat: ChatPage, key: str) -> None:
    chat.page.get_by_label("API key").fill(key)
    chat.page.get_by_role("button", name="Sign in").click()


def sign_in_for_good(chat: ChatPage) -> None:
    """Sign in with the right key; it is kept when the server has taken it."""
    sign_in(chat, KEY)
    expect(chat.page.get_by_role("button", name="Sign out")).to_be_visible()


def requests_with_a_key(watch: Watch) -> list[Request]:
    return [request for request in watch.requests if "authorization" in request.headers]


def test_the_default_key_needs_no_sign_in(chat: ChatPage) -> None:
    expect(chat.composer).to_be_visible()
    expect(chat.page.get_by_role("heading", name="Sign in")).to_be_hidden()
    expect(chat.page.get_by_role("button", name="Sign out")).to_be_hidden()


def test_a_wrong_key_is_refused_with_a_sentence_and_the_right_one_opens(
    open_chat: OpenChat, locked: Server, sim: Sim
) -> None:
    chat = open_chat(locked.url)
    expect(chat.page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(chat, "wrong")
    expect(chat.page.get_by_text("key does not open")).to_be_visible()
    expect(chat.page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in_for_good(chat)
    chat.expect_answer(named_prompt(sim, "signed-in", "&tokens=5"), "w4@")
    chat.page.reload()
    expect(chat.answer()).to_contain_text("w4@")


def test_the_key_is_in_the_tab_s_storage_alone_and_goes_to_our_origin_alone(
    open_chat: OpenChat, locked: Server, sim: Sim
) -> None:
    chat = open_chat(locked.url)
    sign_in_for_good(chat)
    chat.expect_answer(named_prompt(sim, "hidden", "&tokens=5"), "w4@")
    assert KEY not in chat.page.evaluate(KEPT)
    assert KEY in chat.page.evaluate("() => Object.values(sessionStorage)")
    assert requests_with_a_key(chat.watch)
    for request in chat.watch.requests:
        assert KEY not in request.url
        assert KEY not in (request.post_data or "")
        if not request.url.startswith(f"{locked.url}/v1/"):
            assert "authorization" not in request.headers, request.url
    other = open_chat(locked.url)
    expect(other.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signing_out_forgets_the_key_and_what_was_not_sent(
    open_chat: OpenChat, locked: Server
) -> None:
    chat = open_chat(locked.url)
    sign_in(chat, KEY)
    chat.composer.fill("for nobody else")
    chat.page.get_by_role("button", name="Sign out").click()
    expect(chat.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert KEY not in chat.page.evaluate("() => Object.values(sessionStorage)")
    sign_in(chat, KEY)
    expect(chat.composer).to_have_value("")
    chat.page.get_by_role("button", name="Sign out").click()
    chat.page.reload()
    expect(chat.page.get_by_role("heading", name="Sign in")).to_be_visible()
