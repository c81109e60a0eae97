"""Hostile text, in every place that shows text: it stays text. With the policy, and without it."""

import json

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenChat
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Fails, Play, Thinks, in_pieces
from tests.end_to_end.processes import ROOT

PAYLOADS = [
    payload["markdown"] for payload in json.loads((ROOT / "ui" / "test" / "xss.json").read_text())
]
"""Each sets ``window.pwned``, opens a dialog or asks another origin, where it is more than text."""

FOREIGN = """() => [...document.querySelectorAll("main *, nav *")].flatMap((element) => {
  const made = "script, iframe, object, embed, img, video, audio, style, link, meta, base," +
    "svg script, svg a, math, template, marquee, noscript, form form, details details";
  const found = element.matches(made) ? [element.outerHTML.slice(0, 100)] : [];
  for (const { name, value } of element.attributes) {
    if (/^(on.*|srcdoc|ping)$/.test(name)) found.push(`${name}=${value}`);
    if (/^(href|src|action|formaction|xlink:href)$/.test(name) &&
        !/^(#|https?:|mailto:)/.test(value)) found.push(`${name}=${value}`);
    if (name === "style" && /url/i.test(value)) found.push(`${name}=${value}`);
  }
  return found;
})"""
LINKS = """() => [...document.querySelectorAll(".markdown a")].map((link) =>
  [link.protocol, link.rel, link.target])"""
PROMPTS_AT_ONCE = 20
"""A page of the history holds these."""

CSP = pytest.mark.parametrize("bypass_csp", [False, True], ids=["policy", "no policy"])


def assert_it_is_only_text(chat: ChatPage) -> None:
    """Nothing ran, nothing was made; that nothing was fetched is what each test's watch sees."""
    assert chat.page.evaluate(FOREIGN) == []
    for link in chat.conversation.get_by_role("link").all():
        link.hover()
    assert chat.page.evaluate("() => window.pwned") is None
    for protocol, rel, _ in chat.page.evaluate(LINKS):
        assert protocol in {"http:", "https:", "mailto:"}
        assert {"noopener", "noreferrer"} <= set(rel.split())


@CSP
@pytest.mark.parametrize("size", [1, 5])
def test_hostile_answers_in_small_pieces_stay_text(
    played: PlayedServer, open_chat: OpenChat, size: int, *, bypass_csp: bool
) -> None:
    assert len(PAYLOADS) >= 28
    text = "\n\n".join(f"{payload}\n\nbehind {number}" for number, payload in enumerate(PAYLOADS))
    played.plays["attack"] = Play(in_pieces(f"{text}\n\nTHE END", size))
    chat = open_chat(played.url, bypass_csp=bypass_csp)
    chat.expect_answer("attack", "THE END")
    assert_it_is_only_text(chat)
    chat.page.reload()
    expect(chat.answer()).to_contain_text("THE END")
    assert_it_is_only_text(chat)


@CSP
def test_each_hostile_text_stays_text_by_itself(
    played: PlayedServer, open_chat: OpenChat, *, bypass_csp: bool
) -> None:
    for start in range(0, len(PAYLOADS), PROMPTS_AT_ONCE):
        turns = [(f"prompt {start}", text) for text in PAYLOADS[start : start + PROMPTS_AT_ONCE]]
        played.keep(f"attacks-{start}", *turns)
        chat = open_chat(played.url, f"/#/c/attacks-{start}", bypass_csp=bypass_csp)
        expect(chat.answers).to_have_count(len(turns))
        assert_it_is_only_text(chat)


@CSP
def test_hostile_prompts_titles_reasoning_and_errors_stay_text(
    played: PlayedServer, open_chat: OpenChat, *, bypass_csp: bool
) -> None:
    for number, payload in enumerate(PAYLOADS):
        played.keep(f"attack-{number}", (payload, "an answer"))
    everything = "\n\n".join(PAYLOADS)
    played.plays[everything] = Play([Thinks(everything), "a", Fails("upstream_error", everything)])
    chat = open_chat(played.url, bypass_csp=bypass_csp)
    expect(chat.nav.get_by_role("link", name="onerror").first).to_be_visible()
    chat.ask(everything)
    chat.expect_state("failed")
    chat.answer().get_by_text("Reasoning").click()
    expect(chat.prompts).to_contain_text(PAYLOADS[0])
    assert_it_is_only_text(chat)


def test_the_policy_is_in_force(played: PlayedServer, open_chat: OpenChat) -> None:
    chat = open_chat(played.url)
    expect(chat.composer).to_be_visible()
    refused = chat.page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => resolve(
            event.violatedDirective));
          try { document.body.innerHTML = "<b>"; } catch (error) { /* it is refused */ }
        })"""
    )
    assert refused == "require-trusted-types-for"
    assert [complaint for complaint in chat.watch.complaints if "trusted-types" in complaint]
    chat.watch.complaints.clear()
