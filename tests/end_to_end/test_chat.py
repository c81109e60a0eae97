"""``jarvis-trio chat`` as people use it: at a terminal, and in a pipe."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import Server, running_server, wait_until
from tests.end_to_end.serving import command as serve_command
from tests.end_to_end.serving import environment
from tests.end_to_end.typing_user import (
    TypingUser,
    chat_command,
    plain_environment,
    typing_user,
)

SLOW = "simulated:?tokens_per_second=50&length=2000&first_token_ms=0"
LONG = "write a long essay"
WELCOME = "welcome to jarvis_trio"
CUT = "the connection ended before the answer did"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), "simulated:") as server:
        yield server


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers take forty seconds."""
    with running_server(tmp_path_factory.mktemp("slow"), SLOW) as server:
        yield server


@contextlib.contextmanager
def typing(server: Server, tmp_path: Path, *options: str) -> Iterator[TypingUser]:
    with typing_user(server.url, *options, complaints=tmp_path / "complaints") as user:
        yield user


def piped(url: str, lines: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        chat_command("--url", url, *options),
        input=lines,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def ready_at(server: subprocess.Popen[bytes]) -> str:
    assert server.stdout is not None
    return server.stdout.readline().decode().split()[3]


def test_an_answer_appears_and_quit_gives_the_terminal_back(server: Server, tmp_path: Path) -> None:
    with typing(server, tmp_path) as user:
        user.wait_for("session chat-")
        user.say("What is 2+2?")
        user.wait_for("2+2 = 4.")
        user.wait_for("really worked out.")
        assert not user.is_cooked()
        user.say("/quit")
        assert user.leaves() == 0
        assert user.is_cooked()
        assert "2004" not in user.screen.modes
        assert "25" in user.screen.modes
        assert user.screen.lines[1:] == [
            "> What is 2+2?",
            "2+2 = 4.",
            "I am a simulated model, but that sum was really worked out.",
        ]


def test_ctrl_c_stops_the_answer_the_session_goes_on_and_two_leave(
    slow: Server, tmp_path: Path
) -> None:
    with typing(slow, tmp_path, "--session", "stopped") as user:
        user.say(LONG)
        user.wait_for("Few subjects")
        user.type("\x03")
        user.wait_for(" ms, backend idle after ")
        assert re.search(r"stopped: upstream closed after [\d.]+ ms, backend", user.screen.text)
        slow.wait_for_log("stream_cancelled", reason="stop", session="stopped")
        user.say("hello")
        user.wait_for(WELCOME)
        slow.wait_for_log("stream_start", count=2, session="stopped")
        user.type("\x03")
        user.wait_for("stopped: upstream", times=2)
        user.type("\x03")
        user.wait_for("Ctrl-C again")
        user.type("\x03")
        assert user.leaves() == 0


def test_a_new_line_supersedes_the_answer_and_is_not_garbled(slow: Server, tmp_path: Path) -> None:
    with typing(slow, tmp_path, "--session", "superseded") as user:
        user.say(LONG)
        user.wait_for("Few subjects")
        for key in "hello there":
            user.type(key)
            user.look()
        user.wait_for("> hello there")
        user.type("\r")
        user.wait_for(WELCOME)
        slow.wait_for_log("prev_stream_finished_cleanly", session="superseded")
        shown = user.screen.text
        assert shown.index("Few subjects") < shown.index("newer prompt") < shown.index(WELCOME)
        user.type("\x04")
        assert user.leaves() == 0
    slow.wait_for_log("stream_cancelled", reason="client_disconnect", session="superseded")


def test_the_policy_is_the_users(slow: Server, tmp_path: Path) -> None:
    with typing(slow, tmp_path, "--policy", "reject") as user:
        user.say(LONG)
        user.wait_for("Few subjects")
        user.say("hello")
        user.wait_for("waits: hello")
        user.say("/policy enqueue")
        user.wait_for("policy enqueue")
        user.say("and then?")
        user.wait_for("waits: and then?")
        user.type("\x03")
        user.wait_for("this session is answering another prompt")
        user.wait_for('"and then?"')


def test_a_pasted_page_is_one_prompt(slow: Server, tmp_path: Path) -> None:
    with typing(slow, tmp_path, "--session", "pasted") as user:
        user.type("".join(f"line {number} of a page\r" for number in range(200)))
        user.wait_for("> line 0 of a page")
        user.wait_for("line 199 of a page")
        slow.wait_for_log("stream_start", session="pasted")
        user.type("\x03")
        user.wait_for("stopped")
        assert len(slow.wait_for_log("stream_start", session="pasted")) == 1


def test_a_session_is_found_in_the_list_and_continued(server: Server, tmp_path: Path) -> None:
    said = piped(server.url, "What is 7+7?\n", "--session", "yesterdays")
    assert said.returncode == 0
    with typing(server, tmp_path, "--session", "todays") as user:
        user.say("/sessions 7+7")
        user.wait_for("yesterdays  What is 7+7?  20")
        user.say("/session yesterdays")
        user.wait_for("7+7 = 14.")
        user.wait_for("session yesterdays")
        user.say("What is 8+8?")
        user.wait_for("8+8 = 16.")
        user.wait_for("really worked out.", times=2)
        server.wait_for_log("stream_start", count=2, session="yesterdays")
        server.wait_for_log("stream_end", count=2, session="yesterdays")
        user.say("/session nobodys")
        user.wait_for("still in yesterdays: ")


def test_help_and_a_new_session(server: Server, tmp_path: Path) -> None:
    with typing(server, tmp_path) as user:
        user.say("/help")
        user.wait_for("/sessions [text]")
        user.say("/new other")
        user.wait_for("session other")
        user.say("hello")
        user.wait_for("press Stop in the middle of it.")
        server.wait_for_log("stream_end", session="other")
        user.say("/quit")
        assert user.leaves() == 0


def test_a_server_that_is_killed_amid_an_answer_is_told_of_and_the_chat_goes_on(
    tmp_path: Path,
) -> None:
    with (
        subprocess.Popen(
            serve_command("--port", "0", "--upstream", SLOW),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as server,
        typing_user(ready_at(server), complaints=tmp_path / "complaints") as user,
    ):
        user.say(LONG)
        user.wait_for("Few subjects")
        server.kill()
        user.wait_for(CUT)
        user.say("hello")
        user.wait_for("(Connection refused); is the server")
        user.type("\x1b[A")
        user.wait_for("> hello", times=2)
        user.type("\x15/quit\r")
        assert user.leaves() == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (None, 129)]
)
def test_whatever_ends_it_amid_an_answer_the_server_cancels(
    slow: Server, tmp_path: Path, number: signal.Signals | None, status: int
) -> None:
    """None stands for the terminal's window being closed."""
    with typing(slow, tmp_path, "--session", "ended") as user:
        user.say(LONG)
        user.wait_for("Few subjects")
        if number is None:
            user.close()
        else:
            user.process.send_signal(number)
        # The kernel sends more than one SIGHUP; the second may find that we are leaving already.
        assert user.leaves() in (status, 128 - status)
        if number is not None:
            assert user.is_cooked()
        slow.wait_for_log("stream_cancelled", reason="client_disconnect", session="ended")


def test_an_interrupt_from_elsewhere_is_ctrl_c(slow: Server, tmp_path: Path) -> None:
    with typing(slow, tmp_path) as user:
        user.say(LONG)
        user.wait_for("Few subjects")
        user.process.send_signal(signal.SIGINT)
        user.wait_for("stopped: upstream closed after ")
        user.process.send_signal(signal.SIGCONT)
        user.say("/quit")
        assert user.leaves() == 0


def test_in_a_pipe_each_line_is_answered_in_its_turn(server: Server) -> None:
    done = piped(server.url, "What is 2+2?\n\nWhat is 3+3?\n/policy\n  ", "--session", "piped")
    assert done.returncode == 0
    assert re.fullmatch(r"2\+2 = 4\.\n.*\n3\+3 = 6\.\n.*\n", done.stdout, re.DOTALL)
    assert "\x1b" not in done.stdout
    assert done.stderr == "policy as the server is set\n"
    server.wait_for_log("stream_start", count=2, session="piped")
    events = [
        line["event"]
        for line in server.log()
        if line.get("session") == "piped" and line["event"] in ("stream_start", "stream_end")
    ]
    assert events[:3] == ["stream_start", "stream_end", "stream_start"]


def test_a_wrong_key_is_told_in_a_sentence_and_by_the_status(server: Server) -> None:
    done = piped(server.url, "hello\n", "--key", "wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: this key is not known here (--key or JARVIS_API_KEY names the key)\n"
    )


def test_no_server_is_told_in_a_sentence_and_by_the_status() -> None:
    done = piped("http://127.0.0.1:1", "hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: no connection to http://127.0.0.1:1 (Connection refused); is the server running?\n"
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--url", "ftp://x"),
        ("--url", "http://"),
        ("--url", "http://a b"),
        ("--url", "http://me:secret@127.0.0.1"),
        ("--session", "a b"),
        ("--key", "sch\u00f6n"),
        ("--policy", "polite"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(options: tuple[str, str]) -> None:
    done = piped("http://127.0.0.1:1", "hello\n", *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 141)]
)
def test_whatever_ends_it_in_a_pipe_the_server_cancels(
    slow: Server, number: signal.Signals | None, status: int
) -> None:
    """None stands for a reader who has seen enough."""
    process = subprocess.Popen(
        chat_command("--url", slow.url, "--session", "cut"),
        env=plain_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{LONG}\n".encode())
        process.stdin.flush()
        assert os.read(process.stdout.fileno(), 100)
        if number is None:
            process.stdout.close()
        else:
            process.send_signal(number)
        wait_until(lambda: process.poll() is not None)
        assert process.returncode == status
        assert process.stderr.read() == b""
    slow.wait_for_log("stream_cancelled", reason="client_disconnect", session="cut")
