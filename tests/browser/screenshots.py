"""``python -m tests.browser.screenshots``: docs/screenshots, of talks with the simulated model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chat_page import ChatPage
from tests.browser.chromium import chromium
from tests.browser.watch import Watch
from tests.end_to_end.processes import ROOT
from tests.end_to_end.serving import serving

PICTURES = ROOT / "docs" / "screenshots"
MOST_BYTES = 200_000
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 960}}
OPERATIONS: dict[str, Any] = {"viewport": {"width": 1280, "height": 1100}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
}
UPSTREAM = "simulated:?tokens_per_second=60&first_token_ms=100"
SHORT_PROMPT = "Write a JavaScript snippet"
EARLIER = ["What is 12 * 7 - 3?", "Write a poem about the sea", SHORT_PROMPT]
CODE_PROMPT = "Write a Python function that counts words"
LONG_PROMPT = "Write an essay about structured concurrency"
RAPID = ["Write an essay about trio", "Write an essay about nurseries", "Who are you?"]


@contextmanager
def opened(browser: Browser, url: str, path: str = "/", **options: Any) -> Iterator[ChatPage]:
    """Open the page; it must have nothing to complain of here either."""
    context = browser.new_context(**options)
    watch = Watch(url)
    watch.begin(context)
    page = context.new_page()
    page.goto(url + path)
    yield ChatPage(page, watch)
    context.close()
    watch.assert_nothing_went_wrong()


def take(chat: ChatPage, name: str) -> None:
    """Take a picture when nothing moves any more."""
    chat.page.evaluate("() => document.fonts.ready")
    path = PICTURES / f"{name}.png"
    chat.page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size:,} bytes")  # noqa: T201 - it is a command
    assert size <= MOST_BYTES, f"{name} is too large"


def begin_another(chat: ChatPage) -> None:
    chat.nav.get_by_role("button", name="New chat").click()
    expect(chat.answers).to_have_count(0)


def talk(chat: ChatPage) -> str:
    """Have a few conversations; leave the last open, and return its path."""
    for prompt in EARLIER:
        chat.expect_answer(prompt, ".")
        begin_another(chat)
    chat.expect_answer(CODE_PROMPT, "change one thing")
    chat.ask(LONG_PROMPT)
    expect(chat.answer()).to_contain_text("ready-made")
    chat.stop.click()
    expect(chat.answer().locator("[data-note]")).to_be_visible()
    expect(chat.nav.get_by_role("link", name="answering")).to_have_count(0)
    return f"/#/c/{chat.session_id}"


def be_busy(chat: ChatPage) -> None:
    """Send prompts over each other, and leave two long answers under way."""
    for number, prompt in enumerate(RAPID, 1):
        chat.ask(prompt)
        expect(chat.answers).to_have_count(number)
        chat.expect_state("streaming")
    chat.expect_state("complete")
    for prompt in [LONG_PROMPT, LONG_PROMPT.replace("concurrency", "programming")]:
        begin_another(chat)
        chat.ask(prompt)
        chat.expect_state("streaming")


def expect_colours(chat: ChatPage) -> None:
    expect(chat.answers.locator("pre [class*=hljs-]").first).to_be_visible()


def take_all(browser: Browser, url: str) -> None:
    """Take the pictures, one after another of what there is by then."""
    with opened(browser, url, **DESKTOP) as chat:
        path = talk(chat)
        expect_colours(chat)
        take(chat, "chat")
    with opened(browser, url, path, color_scheme="dark", **DESKTOP) as chat:
        expect_colours(chat)
        take(chat, "dark")
    with opened(browser, url, **PHONE) as chat:
        chat.page.get_by_role("button", name="Conversations", exact=True).click()
        chat.nav.get_by_role("link", name=SHORT_PROMPT).click()
        expect_colours(chat)
        take(chat, "mobile")
    with opened(browser, url, **OPERATIONS) as chat:
        be_busy(chat)
        chat.nav.get_by_role("link", name="Operations").click()
        expect(chat.page.get_by_role("button", name="Stop str_")).to_have_count(2)
        take(chat, "ops")


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as path,
        serving(Path(path), "--port", "0", upstream=UPSTREAM, database="memory:") as server,
        sync_playwright() as playwright,
        chromium(playwright) as browser,
    ):
        take_all(browser, server.url)


if __name__ == "__main__":
    main()
