"""The command ``jarvis-trio sim``, in a process of its own."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from click.testing import CliRunner

from jarvis_trio import __version__
from jarvis_trio.cli import main
from jarvis_trio.storm.sim.scenarios import Fault
from tests.storm.raw_client import SimClient, text, words

COMMAND = [sys.executable, "-X", "dev", "-W", "error", "-m", "jarvis_trio", "sim"]


@asynccontextmanager
async def sim_process(*options: str) -> AsyncIterator[tuple[trio.Process, SimClient]]:
    process = await trio.lowlevel.open_process(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += await process.stdout.receive_some()
        ready = re.fullmatch(rb"sim ready on http://127\.0\.0\.1:(\d+)\n", line)
        assert ready is not None, line
        yield process, SimClient(int(ready[1]))
    finally:
        if process.returncode is None:
            process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    await pipe.aclose()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_answers_and_goes_when_told_though_streams_are_live(
    number: signal.Signals,
) -> None:
    with trio.fail_after(20):
        async with (
            sim_process("--tokens", "5", "--tokens-per-second", "0") as (process, sim),
            sim.connect() as stalled,
            sim.connect() as hanging,
        ):
            assert text("openai", await sim.chat("openai", "sim")) == words(5)
            await stalled.ask("ollama", "sim-stall?at=1")
            await stalled.read(until=b"w0 ")
            await hanging.ask("ollama", "sim-hang", "marker:h")
            await sim.happened("h", "arrival")
            process.send_signal(number)
            assert await process.wait() == 0
            assert process.stderr is not None
            assert await process.stderr.receive_some() == b""


async def test_a_taken_port_is_one_sentence_and_exit_code_1() -> None:
    with trio.fail_after(20), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = await trio.run_process(
            [*COMMAND, "--port", str(port)], capture_stdout=True, capture_stderr=True, check=False
        )
    assert result.returncode == 1
    assert result.stdout == b""
    said = f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert result.stderr.decode() == said


def test_the_help_names_every_model_and_how_to_point_a_server_at_the_sim() -> None:
    result = CliRunner().invoke(main, ["sim", "--help"])
    assert result.exit_code == 0
    explained = {line.split()[0] for line in result.output.splitlines() if line.strip()}
    assert set(Fault) <= explained
    assert "JARVIS_UPSTREAM=ollama:http://127.0.0.1:PORT\n" in result.output
    assert "JARVIS_UPSTREAM=openai:http://127.0.0.1:PORT/v1\n" in result.output


def test_the_version_is_the_package_s() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"jarvis-trio, version {__version__}\n"


@pytest.mark.parametrize(
    "option", ["tokens-per-second", "headers-ms", "first-token-ms", "jitter-ms"]
)
@pytest.mark.parametrize("number", ["nan", "inf", "-1", "x"])
def test_what_cannot_be_reckoned_with_is_refused_at_once(
    option: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jarvis_trio.storm.sim.command.run_sim", lambda *_: None)
    result = CliRunner().invoke(main, ["sim", f"--{option}", number])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{number!r} is no number from 0 to 1000000000" in result.stderr
