"""The model server's process dies or stops, and comes back: ours notices, and needs no restart."""

import contextlib
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.faults.played_upstream import (
    ENDS_WITHIN_SECONDS,
    SECRET,
    PlayedUpstream,
    servers_before_upstream,
)
from tests.end_to_end.processes import ROOT, fetch, wait_until

LONG = "sim?tps=50&tokens=100000"
SHORT = "sim?tps=0&tokens=2"
SETTINGS = {"connect_timeout_s": "0.5", "first_token_timeout_s": "2.5", "idle_timeout_s": "2.5"}
"""What a mock can keep, also when it has to wait for its turn on a busy machine."""

upstream = servers_before_upstream(**SETTINGS)


@contextlib.contextmanager
def model_server(upstream: PlayedUpstream) -> Iterator[subprocess.Popen[str]]:
    """Run a mock where the server looks for it, for whatever the test does to its process."""
    command = [sys.executable, "-m", "jarvis_trio", "sim", "--port", str(upstream.port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("sim ready on ")
            yield process
        finally:
            process.kill()


def readiness(upstream: PlayedUpstream) -> tuple[int, dict[str, Any]]:
    told = fetch(f"{upstream.server.url}/readyz")
    return told.status_code, told.json()


def wait_until_ready(upstream: PlayedUpstream) -> None:
    """What it says is known for two seconds; no prompt needs to wait for that."""
    wait_until(lambda: readiness(upstream)[0] == 200)


def wait_until_unready(upstream: PlayedUpstream, reason: str) -> None:
    wait_until(lambda: readiness(upstream)[0] == 503)
    _, told = readiness(upstream)
    assert told["status"] == "not_ready"
    assert told["upstream"] == upstream.name
    assert told["reason"].startswith(upstream.name)
    assert reason in told["reason"]


async def interrupted(
    upstream: PlayedUpstream, process: subprocess.Popen[str], number: signal.Signals, trace: str
) -> Exchange:
    """Send the process a signal in the middle of an answer; return the answer at its end."""
    exchange = Exchange()
    ask = partial(
        prompt,
        upstream.server.url,
        SECRET,
        exchange=exchange,
        trace=trace,
        session="s",
        model=LONG,
    )
    with trio.fail_after(ENDS_WITHIN_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await exchange.first_text.wait()
            process.send_signal(number)
    return exchange


async def assert_served(upstream: PlayedUpstream) -> None:
    answer = await upstream.ask("again", session="s", model=SHORT)
    assert answer.is_complete
    assert answer.text == "w0 w1 "
    upstream.assert_idle()


async def test_a_model_server_that_is_killed_and_started_again(upstream: PlayedUpstream) -> None:
    workers = upstream.server.children()
    trace = uuid.uuid4().hex
    with model_server(upstream) as process:
        wait_until_ready(upstream)
        exchange = await interrupted(upstream, process, signal.SIGKILL, trace)
    upstream.assert_failed(exchange, trace, "upstream_eof", 502, exchange.text)
    assert exchange.text.startswith("w0 ")
    wait_until_unready(upstream, "cannot be reached")
    refused = await upstream.ask(session="s", model=SHORT)
    assert (refused.status, refused.error_code) == (502, "upstream_error")
    with model_server(upstream):
        await assert_served(upstream)
        wait_until_ready(upstream)
    assert upstream.server.children() == workers


async def test_a_model_server_that_is_stopped_and_goes_on(upstream: PlayedUpstream) -> None:
    """Its kernel still accepts for it, so only time tells."""
    workers = upstream.server.children()
    trace, later = uuid.uuid4().hex, uuid.uuid4().hex
    with model_server(upstream) as process:
        wait_until_ready(upstream)
        exchange = await interrupted(upstream, process, signal.SIGSTOP, trace)
        message = upstream.assert_failed(exchange, trace, "upstream_timeout", 504, exchange.text)
        assert "(decode)" in message
        second = await upstream.ask(session="s", model=SHORT, trace=later)
        message = upstream.assert_failed(second, later, "upstream_timeout", 504, None)
        assert "(connect)" in message
        wait_until_unready(upstream, "does not answer")
        process.send_signal(signal.SIGCONT)
        await assert_served(upstream)
    assert upstream.server.children() == workers
