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
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 2,
    "has_touch": True,
}
UPSTREAM = "simulated:?tokens_per_second=60&first_token_ms=100"
EARLIER = ["What is 12 * 7 - 3?", "Write a poem about the sea", "Who are you?"]
CODE_PROMPT = "Write a Python function that counts words"
LONG_PROMPT = "Write an essay about structured concurrency"


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
    chat.page.screenshot(path=path, animations="disabled", caret="hide")
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size:,} bytes")  # noqa: T201 - it is a command
    assert size <= MOST_BYTES, f"{name} is too large"


def talk(chat: ChatPage) -> str:
    """Have a few conversations; leave the last open, and return its path."""
    for prompt in EARLIER:
        chat.ask(prompt)
        chat.expect_state("complete")
        chat.nav.get_by_role("button", name="New chat").click()
        expect(chat.answers).to_have_count(0)
    chat.ask(CODE_PROMPT)
    chat.expect_state("complete")
    expect(chat.answer().locator("pre [class*=hljs-]").first).to_be_visible()
    chat.ask(LONG_PROMPT)
    expect(chat.answer()).to_contain_text(".")
    chat.stop.click()
    expect(chat.answer().locator("[data-note]")).to_be_visible()
    return f"/#/c/{chat.session_id}"


def take_all(browser: Browser, url: str) -> None:
    """Take the pictures, in the order in which the conversations become longer."""
    with opened(browser, url, **DESKTOP) as chat:
        path = talk(chat)
        take(chat, "chat")
    with opened(browser, url, path, color_scheme="dark", **DESKTOP) as chat:
        expect(chat.answers).to_have_count(2)
        take(chat, "dark")
    with opened(browser, url, path, **PHONE) as chat:
        expect(chat.answers).to_have_count(2)
        take(chat, "mobile")
    with opened(browser, url, **DESKTOP) as chat:
        for prompt in [LONG_PROMPT, LONG_PROMPT.replace("concurrency", "programming")]:
            chat.ask(prompt)
            expect(chat.answer()).to_contain_text(" ")
            chat.nav.get_by_role("button", name="New chat").click()
        chat.nav.get_by_role("link", name="Operations").click()
        rows = chat.page.get_by_role("button", name="Stop str_")
        expect(rows).to_have_count(2)
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
