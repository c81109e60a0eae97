"""The command ``jarvis-trio storm``, in a process of its own, as users and builds run it."""

import builtins
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from jarvis_trio.cli import main
from jarvis_trio.storm.scenarios.all import ALL
from tests.end_to_end.processes import Server, Sim, reserved_port, wait_until
from tests.end_to_end.serving import environment, serving
from tests.end_to_end.storm.playing import SETTINGS, broken

SHORT = ("--scenario", "rapid", "--prompts", "4", "--gap", "20ms", "--patience", "5s")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim) -> Iterator[Server]:
    """Our own server over the mock upstream."""
    path = tmp_path_factory.mktemp("ours")
    options = ("--port", "0", "--upstream", shared_sim.upstream("openai"))
    with serving(path, *options, **SETTINGS) as server:
        yield server


def storm(*options: str) -> list[str]:
    return [sys.executable, "-X", "dev", "-W", "error", "-m", "jarvis_trio", "storm", *options]


def plain() -> dict[str, str]:
    """Return an environment without a key, and without wishes for a terminal."""
    unwanted = {"OPENAI_API_KEY", "FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"}
    clean = {name: value for name, value in environment().items() if name not in unwanted}
    return clean | {"COLUMNS": "120", "TERM": "xterm-256color"}


def run(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        storm(*options),
        env=plain() | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(*options: str) -> str:
    """Return the one sentence with which it ends."""
    done = run(*options)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("Error: ")
    return sentence


def on(server: Server, sim: Sim) -> tuple[str, ...]:
    return "--url", server.url, "--key", "devkey", "--sim", sim.url


def test_a_good_server_passes_and_every_report_is_written(
    ours: Server, sim: Sim, tmp_path: Path
) -> None:
    files = {name: tmp_path / f"report.{name}" for name in ("json", "junit", "html")}
    outputs = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    done = run(*on(ours, sim), *SHORT, *outputs)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.search(r"^rapid +pass +\S", done.stdout, re.MULTILINE)
    assert "\x1b" not in done.stdout
    told = json.loads(files["json"].read_text("utf-8"))
    assert (told["verdict"], told["abilities"]["has_sessions"]) == ("pass", True)
    options = told["options"]
    assert (options["prompts"], options["gap_seconds"], options["patience_seconds"]) == (4, 0.02, 5)
    assert "devkey" not in files["json"].read_text("utf-8")
    (trial,) = told["trials"]
    assert len(trial["timeline"]) == 4
    for row in trial["timeline"]:
        client, upstream = ([label for label, _ in row[lane]] for lane in ("client", "upstream"))
        assert (client[0], client[-1]) == ("sent", "end")
        assert not upstream or upstream[0] == "arrival"  # none: overtaken before it began
    assert upstream == ["arrival", "first byte", "finished"]
    suites = ET.parse(files["junit"]).getroot()  # noqa: S314 - we wrote it
    assert (suites.get("tests"), suites.get("failures")) == ("1", "0")
    assert files["html"].read_text("utf-8").count("<svg") == 1


def test_json_can_go_to_a_pipe_and_the_key_come_from_the_environment(
    ours: Server, sim: Sim
) -> None:
    options = ("--url", f"{ours.url}/v1", "--sim", sim.url, "--json", "-", *SHORT)
    done = run(*options, OPENAI_API_KEY="devkey")
    assert json.loads(done.stdout)["verdict"] == "pass"
    assert "rapid" in done.stderr
    quiet = run(*options, "--quiet", OPENAI_API_KEY="devkey")
    assert json.loads(quiet.stdout)["verdict"] == "pass"
    assert quiet.stderr == ""


def test_a_page_can_go_to_a_pipe_with_nothing_behind_it(ours: Server, sim: Sim) -> None:
    done = run(*on(ours, sim), *SHORT, "--html", "-")
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.endswith("</html>\n")
    assert "rapid" in done.stderr


def test_what_cannot_be_written_keeps_nothing_else_from_being_written(
    ours: Server, sim: Sim, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    done = run(*on(ours, sim), *SHORT, "--json", "/dev/full", "--html", str(page))
    assert done.stderr == "Error: /dev/full cannot be written: No space left on device\n"
    assert (done.returncode, done.stdout.count("pass")) == (2, 2)
    assert page.read_text("utf-8").endswith("</html>\n")


@pytest.mark.parametrize("options", [(), ("--json", "-", "--quiet")], ids=["table", "json"])
def test_a_stdout_that_is_full_is_one_sentence(
    ours: Server, sim: Sim, options: tuple[str, ...]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            storm(*on(ours, sim), *SHORT, *options),
            env=plain(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == "Error: stdout cannot be written: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.parametrize("options", [(), ("--json", "-", "--quiet")], ids=["table", "json"])
def test_a_reader_that_has_seen_enough_changes_no_verdict(
    ours: Server, sim: Sim, options: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as pipe:  # noqa: PTH123 - a descriptor
        done = subprocess.run(
            storm(*on(ours, sim), *SHORT, *options),
            env=plain(),
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_stderr_changes_no_verdict(ours: Server, sim: Sim) -> None:
    words = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *storm(*on(ours, sim), *SHORT)]
    done = subprocess.run(words, env=plain(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0


def test_a_broken_server_is_status_1(tmp_path: Path, sim: Sim) -> None:
    with broken(tmp_path, sim, "answers_two_at_once") as server:
        done = run(
            "--url", server.url, "--key", "devkey", "--sim", sim.url, *SHORT, "--patience", "2s"
        )
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"^rapid +fail +NOT: ", done.stdout, re.MULTILINE)
    assert "NOT: the model server never has two of the session at once" in done.stdout


@contextmanager
def answering(said: bytes) -> Iterator[str]:
    """Serve the same bytes to everyone, whatever is asked; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)
                    peer.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_what_cannot_be_played_is_one_sentence_and_status_2(ours: Server, sim: Sim) -> None:
    good = on(ours, sim)
    with reserved_port() as port:
        nobody = f"http://127.0.0.1:{port}"
        assert "cannot be reached" in refusal("--url", nobody)
        assert f"{nobody} cannot be reached" in refusal(*good, "--sim", nobody)
    assert "mend --url" in refusal("--url", f"{ours.url}/wrong", "--key", "devkey")
    assert "refuses the key" in refusal("--url", ours.url, "--key", "wrong")
    assert "refuses the key" in refusal("--url", ours.url)
    assert "is no mock upstream" in refusal(*good, "--sim", ours.url)
    assert "no scenario 'nope'" in refusal(*good, "--scenario", "nope")
    assert "--pid 4194305" in refusal(*good, "--pid", "4194305")


def test_a_server_that_does_not_speak_http_is_one_sentence(ours: Server, sim: Sim) -> None:
    with answering(b"SSH-2.0-x\x1b[31m\r\n") as url:
        assert "does not answer in HTTP" in refusal("--url", url)
        assert "is no mock upstream" in refusal(*on(ours, sim), "--sim", url)


def test_a_server_that_says_yes_to_everything_is_one_sentence(ours: Server, sim: Sim) -> None:
    body = b"<h1>\x1b[31mwelcome</h1>"
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)) as url:
        assert "lists no models" in refusal("--url", url)
    with answering(b'HTTP/1.1 200 OK\r\n\r\n{"x":' + b"[" * 100_000) as url:
        assert "lists no models" in refusal("--url", url)
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)) as url:
        assert "does not answer a simple prompt" in refusal("--url", url, "--model", "m")
        assert "is no mock upstream" in refusal(*on(ours, sim), "--sim", url)


def test_a_refusal_is_printable(ours: Server) -> None:
    body = rb'{"error":{"code":"\u001b[31mno"}}'
    with answering(b"HTTP/1.1 500 No\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)) as url:
        sentence = refusal("--url", url, "--model", "m")
    assert r"\x1b[31mno" in sentence
    assert sentence.isprintable()


def test_a_server_that_is_not_in_front_of_the_sim_is_one_sentence(tmp_path: Path, sim: Sim) -> None:
    options = ("--port", "0", "--upstream", "simulated:?tokens_per_second=1000")
    with serving(tmp_path, *options, **SETTINGS) as server:
        assert "answers, but not from --sim" in refusal(*on(server, sim))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--url", "ftp://x"), "is no address"),
        (("--url", "http://a..b"), "is no address"),
        (("--url", "http://x:99999"), "is no address"),
        (("--url", "http://x/a b"), "is no address"),
        (("--url", "http://x/漢"), "is no address"),
        (("--url", "x", "--key", "a\nb"), "no header can carry"),
        (("--url", "x", "--model", "\udcff"), "--model"),
        (("--url", "x", "--json", "/no/such/file"), "no file that can be written"),
        (("--url", "x", "--html", "/"), "no file that can be written"),
        (("--url", "x", "--json", "-", "--html", "-"), "- cannot take two reports"),
        (("--url", "http://[::1"), "is no address"),
        (("--url", "x", "--gap", "50"), "'50' is no duration; write 50ms"),
        (("--url", "x", "--gap", "61m"), "longer than an hour"),
        (("--url", "x", "--patience", "0s"), "write 10s"),
        (("--url", "x", "--prompts", "1"), "--prompts"),
        (("--url", "x", "--pid", "0"), "--pid"),
        ((), "--url"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_played(
    options: tuple[str, ...], told: str
) -> None:
    result = CliRunner().invoke(main, ["storm", *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_it_with_what_was_played(
    ours: Server, sim: Sim, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    report = tmp_path / "report.json"
    options = (*on(ours, sim), "--scenario", "rapid", "--prompts", "1000", "--json", str(report))
    with subprocess.Popen(
        storm(*options),
        env=plain() | {"FORCE_COLOR": "1"},  # as build servers do, which are no terminal yet
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: sim.get("stats")["requests"] > 0)  # it has started
        wait_until(lambda: sim.get("stats")["requests"] > 3)
        process.send_signal(number)
        printed, complaints = process.communicate(timeout=20)
    assert (process.returncode, printed) == (status, "")
    told = "interrupted during rapid: 0 of 1 scenarios were played; nothing was written\n"
    assert complaints == told
    assert not report.exists()


def test_a_signal_while_it_is_imported_has_the_same_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def import_with_a_signal(name: str, *how: Any) -> Any:
        if name == "jarvis_trio.storm.command":
            raise KeyboardInterrupt
        return really_import(name, *how)

    really_import = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", import_with_a_signal)
    result = CliRunner().invoke(main, ["storm", "--url", "http://127.0.0.1:1"])
    assert (result.exit_code, result.output) == (130, "")


def test_a_terminal_sees_how_it_gets_on(ours: Server, sim: Sim) -> None:
    ours_end, its_end = pty.openpty()
    with os.fdopen(ours_end, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            storm(*on(ours, sim), *SHORT, "--gap", "400ms"),  # some pictures long
            env=plain(),
            stdout=subprocess.PIPE,
            stderr=its_end,
            text=True,
        )
        os.close(its_end)
        seen = b""
        try:
            while data := screen.read(65536):
                seen += data
        except OSError:
            pass  # what a pty says at its end
        printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert re.search(rb"rapid  \d+ s  \(1 of 1\)", seen)
    assert "\x1b" not in printed


def test_the_help_names_every_scenario_and_every_status() -> None:
    result = CliRunner().invoke(main, ["storm", "--help"])
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    for scenario in ALL:
        assert f"{scenario.name} {scenario.promise}" in words
    for told in ("0 every scenario passed", "1 at least one failed", "2 it could not be played"):
        assert told in words
    assert "jarvis-trio serve --upstream openai:http://127.0.0.1:9999/v1\n" in result.output


def test_the_list_needs_no_server() -> None:
    result = CliRunner().invoke(main, ["storm", "--list"])
    assert result.exit_code == 0
    assert result.output.splitlines() == [f"{each.name}: {each.promise}" for each in ALL]


def test_the_names_of_the_scenarios_are_different() -> None:
    assert len({scenario.name for scenario in ALL}) == len(ALL)


def test_other_commands_do_not_load_what_this_one_needs() -> None:
    """By itself, structlog loads rich where there is one; only our own imports are ours."""
    script = (
        "import sys, jarvis_trio.cli; print('rich' in sys.modules, 'trio' in sys.modules); "
        "import jarvis_trio.serve; print('jarvis_trio.storm.report' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=plain(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False False\nFalse\n"
