"""SIGUSR1 and /debug/tasks on real processes."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.processes import (
    KEY,
    ROOT,
    STOP_SECONDS,
    Server,
    Sim,
    fetch,
    running_server,
    wait_until,
)
from tests.end_to_end.serving import serving

Launcher = Callable[[Path, str], AbstractContextManager[Server]]
STREAMS = 50
ENDLESS = "sim?tps=20&tokens=100000"
LOOP_MS = 50
STACK = re.compile(r"^thread MainThread, innermost call first\n(?:  \S+:\d+ .*\n)+", re.MULTILINE)
END = re.compile(r"^end of tasks made_in_ms=(\d+\.\d)$", re.MULTILINE)


@contextmanager
def our_launcher(tmp_path: Path, upstream: str) -> Iterator[Server]:
    with serving(tmp_path, "--port", "0", "--upstream", upstream, graceful_timeout_s="1") as server:
        yield server


@contextmanager
def hypercorns_cli(tmp_path: Path, upstream: str) -> Iterator[Server]:
    with running_server(tmp_path, upstream) as server:
        yield server


@pytest.mark.parametrize("launcher", [our_launcher, hypercorns_cli])
async def test_the_overview_tells_what_lives_and_how_soon_cancels_left_the_model(
    tmp_path: Path, sim: Sim, launcher: Launcher
) -> None:
    with launcher(tmp_path, sim.upstream("openai")) as server:
        url = f"{server.url}/v1/ops"
        async with trio.open_nursery() as nursery:
            for name in ("first", "second"):  # which supersedes it
                exchange = Exchange()
                ask = partial(prompt, server.url, name, session="s", exchange=exchange)
                nursery.start_soon(partial(ask, model=ENDLESS))
                with trio.fail_after(30):
                    await exchange.first_text.wait()
            told = (await trio.to_thread.run_sync(fetch, url, KEY)).json()
            (live,) = told["streams"]
            assert (live["session_id"], live["phase"], live["readers"]) == ("s", "decode", 1)
            assert (told["totals"]["begun"], told["totals"]["ended"]["superseded"]) == (2, 1)
            latency = told["cancel_latency"]
            assert sum(latency["counts"]) == 1
            took = latency["bounds_ms"][latency["counts"].index(1)]
            assert took <= 1000, "of real sockets, on a busy machine"
            nursery.cancel_scope.cancel(reason="its client leaves")
        await trio.to_thread.run_sync(server.wait_until_idle)
        told = (await trio.to_thread.run_sync(fetch, url, KEY)).json()
        assert told["streams"] == []
        assert told["totals"]["ended"]["client_disconnect"] == 1
        assert sum(told["lately"]["ended"]["client_disconnect"]) == 1
        assert sum(told["cancel_latency"]["counts"]) == 2


@pytest.mark.parametrize("launcher", [our_launcher, hypercorns_cli])
async def test_a_signal_prints_fifty_live_streams_and_the_server_lives_on(
    tmp_path: Path, sim: Sim, launcher: Launcher
) -> None:
    with launcher(tmp_path, sim.upstream("openai")) as server:
        pid = int(server.wait_for_log("server_ready")[0]["pid"])
        stderr = Path(f"/proc/{pid}/fd/2").readlink()
        async with trio.open_nursery() as nursery:
            exchanges = [Exchange() for _ in range(STREAMS)]
            for n, exchange in enumerate(exchanges):
                ask = partial(prompt, server.url, "my diary", session=f"s{n}", exchange=exchange)
                nursery.start_soon(partial(ask, model=ENDLESS))
            with trio.fail_after(30):
                for exchange in exchanges:
                    await exchange.first_text.wait()
            for times in (1, 2):
                os.kill(pid, signal.SIGUSR1)
                await trio.to_thread.run_sync(
                    wait_until,
                    partial(has_printed, stderr, times),
                    partial(stderr.read_text, "utf-8"),
                )
            printed = stderr.read_text("utf-8")
            told = await trio.to_thread.run_sync(fetch, f"{server.url}/debug/tasks", KEY)
            nursery.cancel_scope.cancel(reason="enough seen")
        assert max(ends_in(stderr)) < LOOP_MS
        assert len(STACK.findall(printed)) == 2
        assert "thread watchdog, innermost call first\n" in printed
        head = f"jarvis_trio pid={pid} sessions={STREAMS} streams={STREAMS} tasks="
        assert printed.count(head) == 2
        for text in (printed, told.text):
            assert head in text
            for n, exchange in enumerate(exchanges):
                assert re.search(rf"^session s{n}$", text, re.MULTILINE)
                assert re.search(rf"  {exchange.headers['x-stream-id']} .* decode age=", text)
            assert "diary" not in text
        answer = await prompt(server.url, "x", model="sim?tps=0&tokens=3")
        assert answer.is_complete


def has_printed(stderr: Path, times: int) -> bool:
    """Say whether so many reports are there, and as many stacks, which a thread prints."""
    stacks = STACK.findall(stderr.read_text("utf-8"))
    return len(ends_in(stderr)) == len(stacks) == times


def ends_in(stderr: Path) -> list[float]:
    """Return how long each report that is there held the loop."""
    return [float(ms) for ms in END.findall(stderr.read_text("utf-8"))]


@contextmanager
def process(how: str, stderr: int) -> Iterator[subprocess.Popen[str]]:
    """Run ``stuck.py`` until it says that it is ready; it must end well."""
    script = subprocess.Popen(
        [sys.executable, "-X", "dev", str(Path(__file__).with_name("stuck.py")), how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert script.stdin is not None
    assert script.stdout is not None
    deadline = threading.Timer(STOP_SECONDS, script.kill)
    deadline.start()
    try:
        assert script.stdout.readline() == f"{how}\n"
        yield script
        script.stdin.write("\n\n")
        script.stdin.flush()
        assert script.wait() == 0
    finally:
        script.kill()
        script.wait()
        deadline.cancel()
        deadline.join()
        for pipe in (script.stdin, script.stdout):
            pipe.close()


def test_stacks_are_printed_while_the_loop_is_stuck_and_the_report_after_it(tmp_path: Path) -> None:
    console = tmp_path / "console.txt"
    with console.open("wb") as stderr, process("stuck", stderr.fileno()) as script:
        script.send_signal(signal.SIGUSR1)
        wait_until(lambda: " <module>\n" in console.read_text("utf-8"))
        stacks = console.read_text("utf-8")
        assert "end_to_end/stuck.py:" in stacks
        assert " get_stuck\n" in stacks
        assert "REPORT" not in stacks
    assert console.read_text("utf-8").count("REPORT\n") == 1


def test_a_stderr_that_nobody_reads_holds_nothing_up() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write_end, True)
    drain = threading.Thread(target=read_all, args=(read_end,))
    try:
        with process("free", write_end) as script:
            os.close(write_end)
            assert script.stdout is not None
            script.send_signal(signal.SIGUSR1)
            assert script.stdout.readline() == "reported\n"
            drain.start()  # so that it can end
    finally:
        if drain.ident is None:
            drain.start()
        drain.join()
        os.close(read_end)


def read_all(descriptor: int) -> None:
    while os.read(descriptor, 65_536):
        pass
