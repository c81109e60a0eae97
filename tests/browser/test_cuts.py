"""Reloads, cut networks and servers that die: the answer goes on, or what became of it is said."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ENDED
from tests.browser.conftest import OpenChat, named_prompt
from tests.browser.played_server import PlayedServer
from tests.browser.plays import Gate, Play, numbered, words
from tests.browser.proxy import Proxy
from tests.end_to_end.processes import Server, Sim, reserved_port, stop
from tests.end_to_end.serving import command, environment


def test_an_answer_goes_on_after_a_reload(open_chat: OpenChat, server: Server, sim: Sim) -> None:
    chat = open_chat(server.url)
    chat.ask(named_prompt(sim, "reloaded", "&tokens=100"))
    expect(chat.answer()).to_contain_text("w5@")
    chat.page.reload()
    expect(chat.answer()).to_contain_text("w5@")
    chat.expect_state("complete")
    assert chat.words() == words("reloaded", 100)
    assert sim.get("stats")["requests"] == 1


def test_the_rest_of_an_answer_comes_after_a_reload_as_it_is_written(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["slow"] = Play(["a ", Gate("reloaded"), "b ", Gate("seen"), "c "])
    chat = open_chat(played.url)
    chat.ask("slow")
    expect(chat.answer()).to_contain_text("a")
    chat.page.reload()
    expect(chat.answer()).to_contain_text("a")
    played.open_gate("reloaded")
    expect(chat.answer()).to_contain_text("b")
    chat.expect_state("streaming")
    played.open_gate("seen")
    chat.expect_state("complete")
    assert chat.words() == ["a", "b", "c"]


def test_an_answer_that_ended_during_the_reload_is_there(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    chat = open_chat(played.url)
    chat.ask("short")
    expect(chat.answer()).to_contain_text("w5@")
    address = chat.page.url
    chat.page.goto("about:blank")
    played.wait_until_over()
    chat.page.goto(address)
    chat.expect_state("complete")
    assert chat.words() == words("short")


def test_an_answer_goes_on_after_the_network_was_cut(
    open_chat: OpenChat, proxy: Proxy, sim: Sim
) -> None:
    chat = open_chat(proxy.url)
    chat.ask(named_prompt(sim, "cut", "&tokens=50&tps=10"))
    expect(chat.answer()).to_contain_text("w5@")
    proxy.cut()
    chat.expect_state("reattaching")
    proxy.mend()
    chat.expect_state("complete")
    assert chat.words() == words("cut", 50)
    assert sim.get("stats")["requests"] == 1


def test_an_answer_goes_on_after_the_network_stood_still(
    open_chat: OpenChat, proxy: Proxy, sim: Sim
) -> None:
    chat = open_chat(proxy.url)
    chat.ask(named_prompt(sim, "frozen", "&tokens=50&tps=10"))
    expect(chat.answer()).to_contain_text("w5@")
    proxy.freeze()
    sim_is_done = f"{sim.url}/sim/wait?marker=frozen&kind=finished"
    chat.page.context.request.get(sim_is_done)
    chat.expect_state("streaming")
    proxy.thaw()
    chat.expect_state("complete")
    assert chat.words() == words("frozen", 50)


def test_a_narrow_network_loses_nothing(open_chat: OpenChat, proxy: Proxy, sim: Sim) -> None:
    chat = open_chat(proxy.url)
    expect(chat.composer).to_be_visible()
    proxy.narrow(20_000)
    chat.ask(named_prompt(sim, "narrow", "&tokens=100&tps=0"))
    chat.expect_state("complete")
    assert chat.words() == words("narrow", 100)


@pytest.mark.parametrize("is_clean", [True, False], ids=["clean", "reset"])
def test_a_body_that_ends_without_done_is_read_on(
    played: PlayedServer, open_chat: OpenChat, *, is_clean: bool
) -> None:
    played.plays["cut"] = Play(numbered("cut"), cut_after=12, cut_is_clean=is_clean)
    chat = open_chat(played.url)
    chat.expect_answer("cut", "w39")
    assert chat.words() == words("cut")
    (request,) = played.asked("GET", "/v1/streams/")
    had = int(request.query["after"])
    assert had == 12 if is_clean else had <= 12
    assert len(played.asked("POST", "/v1/chat/")) == 1


def test_an_answer_that_nobody_holds_any_more_is_shown_as_the_history_has_it(
    played: PlayedServer, open_chat: OpenChat
) -> None:
    played.plays["gone"] = Play([*numbered("gone"), Gate("end")], cut_after=12)
    played.holds_streams = False
    chat = open_chat(played.url)
    chat.ask("gone")
    expect(chat.answer()).to_contain_text("w3@")
    played.open_gate("end")
    chat.expect_ended()
    had = chat.words()
    assert had == words("gone")[: len(had)]
    if chat.answer().get_attribute("data-state") == "complete":
        assert had == words("gone")


@contextmanager
def mortal_server(path: Path, port: int, sim: Sim) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that the test may kill, on its database in ``path``."""
    with (path / "console.txt").open("ab") as console:
        process = subprocess.Popen(
            command("--port", str(port)),
            cwd=path,
            env=environment(upstream=sim.upstream("openai")),
            stdout=subprocess.PIPE,
            stderr=console,
        )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith(b"jarvis_trio ready")
        try:
            yield process
        finally:
            stop(process)


def test_a_killed_server_s_answer_is_marked_and_its_successor_answers(
    open_chat: OpenChat, sim: Sim, tmp_path: Path
) -> None:
    with reserved_port() as port:
        with mortal_server(tmp_path, port, sim) as process:
            chat = open_chat(f"http://127.0.0.1:{port}")
            chat.ask(named_prompt(sim, "killed", "&tokens=5000"))
            expect(chat.answer()).to_contain_text("w5@")
            process.kill()
            process.wait()
            chat.expect_state("reattaching")
        with mortal_server(tmp_path, port, sim):
            # The page may have begun its longest pause, of eight seconds, just before.
            expect(chat.answer()).to_have_attribute("data-state", ENDED, timeout=20_000)
            assert chat.answer().get_attribute("data-state") != "complete"
            chat.expect_answer(named_prompt(sim, "later", "&tokens=5"), "w4@later")


def test_prompts_that_the_network_held_up_together_are_answered_in_their_order(
    open_chat: OpenChat, proxy: Proxy, sim: Sim
) -> None:
    chat = open_chat(proxy.url)
    chat.expect_answer(named_prompt(sim, "zero", "&tokens=3"), "w2@zero")
    for number in range(1, 6):
        proxy.freeze()
        for name in [f"first-{number}", f"second-{number}"]:
            chat.ask(named_prompt(sim, name, "&tokens=5"))
        expect(chat.prompts).to_have_count(2 * number + 1)
        proxy.thaw()
        expect(chat.answer()).to_contain_text("w4@")
        assert chat.words() == words(f"second-{number}", 5)
