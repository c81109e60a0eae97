"""The chat page as its users know it: by roles and names."""

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.watch import Watch

PROSE = """(article) => {
  const copy = article.cloneNode(true);
  for (const other of copy.querySelectorAll("button, footer, details, [data-trouble]"))
    other.remove();
  return copy.textContent;
}"""
"""What an article says, without what the page says about it."""

REMEMBER_CHANGES = (
    f"{{ const proseOf = {PROSE};"
    + """
window.changedAfterTheEnd = [];
const ended = new WeakMap();
const look = () => {
  for (const article of document.querySelectorAll('article[data-role="assistant"]')) {
    const prose = proseOf(article).trim();
    const had = ended.get(article);
    if (had && !prose.startsWith(had)) window.changedAfterTheEnd.push([had, prose]);
    if (/^(complete|interrupted|failed)$/.test(article.dataset.state)) ended.set(article, prose);
  }
};
new MutationObserver(look).observe(document, {
  subtree: true, childList: true, characterData: true, attributes: true });
}
"""
)
"""Watches answers that have ended: the history may add to one, nothing else may change it."""

ENDED = re.compile("complete|interrupted|failed")


class ChatPage:
    """One tab."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page = page
        self.watch = watch
        self.composer = page.get_by_role("textbox", name="Message", exact=True)
        self.send = page.get_by_role("button", name="Send", exact=True)
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.model = page.get_by_role("combobox", name="Model")
        self.policy = page.get_by_role("combobox", name="While answering")
        self.conversation = page.get_by_role("region", name="Conversation", exact=True)
        self.answers = page.locator('article[data-role="assistant"]')
        self.prompts = page.locator('article[data-role="user"]')
        self.nav = page.get_by_role("navigation", name="Conversations")
        self.status = page.get_by_role("status")
        self.jump = page.get_by_role("button", name="Jump to the latest")

    def ask(self, prompt: str) -> None:
        self.composer.fill(prompt)
        self.composer.press("Enter")

    def answer(self, number: int = -1) -> Locator:
        """Return an answer, counted from 0 as in a list."""
        return self.answers.nth(number)

    def prose(self, number: int = -1) -> str:
        text: str = self.answer(number).evaluate(PROSE)
        return text.strip()

    def words(self, number: int = -1) -> list[str]:
        return self.prose(number).split()

    def expect_state(self, state: str | re.Pattern[str], number: int = -1) -> None:
        expect(self.answer(number)).to_have_attribute("data-state", state)

    def expect_ended(self, number: int = -1) -> None:
        self.expect_state(ENDED, number)

    def expect_answer(self, prompt: str, text: str | re.Pattern[str]) -> None:
        """Ask, and wait for the whole answer."""
        count = self.answers.count()
        self.ask(prompt)
        expect(self.answers).to_have_count(count + 1)
        self.expect_state("complete")
        expect(self.answer()).to_contain_text(text)

    def assert_no_ended_answer_changed(self) -> None:
        changed: list[Any] = self.page.evaluate("() => window.changedAfterTheEnd")
        assert not changed, changed

    @property
    def session_id(self) -> str:
        """Return the open conversation's name, from the address."""
        found = re.search(r"#/c/([^/]+)$", self.page.url)
        assert found, self.page.url
        return found[1]
