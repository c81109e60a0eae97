"""SIGTERM under the plain hypercorn CLI, with everything there is to hold it up.

A grace of ``LONG`` seconds is one that a test does not wait out: a server that goes within
``SOON`` has gone because nothing was left to wait for.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.faults.raw_clients import body_of, connect, post
from tests.end_to_end.processes import Server, Sim, running_server

LONG = 90
SOON = 30
FLOOD = "sim?tps=0&tokens=1000000"
ENDLESS = "sim?tps=20&tokens=100000"


@contextmanager
def server_with_grace(tmp_path: Path, sim: Sim, seconds: int, *options: str) -> Iterator[Server]:
    options = ("--graceful-timeout", str(seconds + 10), *options)
    with running_server(
        tmp_path, sim.upstream("ollama"), options=options, graceful_timeout_s=str(seconds)
    ) as server:
        yield server


async def gone(server: Server, seconds: float) -> None:
    """Wait for the process to go, with status 0."""
    code = await trio.to_thread.run_sync(server.process.wait, seconds)
    assert code == 0


async def streaming(server: Server, nursery: trio.Nursery, model: str, session: str) -> Exchange:
    """Start a stream and return it when its first text is there."""
    exchange = Exchange()
    nursery.start_soon(
        partial(prompt, server.url, "x", session=session, exchange=exchange, model=model)
    )
    with trio.fail_after(10):
        await exchange.first_text.wait()
    return exchange


async def test_an_idle_server_goes_at_once(tmp_path: Path, sim: Sim) -> None:
    with server_with_grace(tmp_path, sim, LONG) as server, connect(server) as idle:
        server.process.terminate()
        await gone(server, SOON)
        assert idle.recv(1) == b""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stream_may_come_to_its_end_and_the_server_goes_with_it(
    tmp_path: Path, sim: Sim, workers: str
) -> None:
    """With two workers the idle one goes first, and must not take the other along."""
    with server_with_grace(tmp_path, sim, LONG, "--workers", workers) as server:
        async with trio.open_nursery() as nursery:
            exchange = await streaming(server, nursery, "sim?tps=30&tokens=60", "s")
            server.process.terminate()
            await gone(server, SOON)
        assert exchange.is_complete
        assert exchange.text.endswith("w59 ")


@pytest.mark.parametrize("workers", ["0", "1", "2"])
async def test_after_the_grace_a_stream_gets_its_ending_and_the_upstream_is_closed(
    tmp_path: Path, sim: Sim, workers: str
) -> None:
    with server_with_grace(tmp_path, sim, 1, "--workers", workers) as server:
        async with trio.open_nursery() as nursery:
            exchange = await streaming(server, nursery, ENDLESS, "s")
            server.process.terminate()
            code = await trio.to_thread.run_sync(server.process.wait, SOON)
        # Nobody tells Hypercorn without workers of the signal: the process dies of it, drained.
        assert code == (-signal.SIGTERM if workers == "0" else 0)
        assert exchange.error_code == "server_shutdown"
        assert exchange.ends_with_done
        server.process.returncode = 0
    sim.wait_until_all_closed()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_stalled_clients_hold_nothing_up_beyond_the_grace(
    tmp_path: Path, sim: Sim, workers: str
) -> None:
    path = tmp_path / "socket"
    options = ("--workers", workers, "-b", f"unix:{path}")
    with (
        server_with_grace(tmp_path, sim, 1, *options) as server,
        connect(server, receive_buffer=4096) as by_tcp,
        connect(Server(server.process, f"unix:{path}", server.log_path)) as by_unix,
    ):
        for name, sock in ("tcp", by_tcp), ("unix", by_unix):
            sock.sendall(post(body_of(f"marker:{name}", model=FLOOD), name))
            await sim.wait_for(name, "first_byte")
        async with trio.open_nursery() as nursery:
            healthy = await streaming(server, nursery, ENDLESS, "healthy")
            server.process.terminate()
            await gone(server, SOON)
        assert healthy.error_code == "server_shutdown"
        assert healthy.ends_with_done
    sim.wait_until_all_closed()


async def test_a_client_that_never_finishes_its_request_is_answered_and_not_waited_for(
    tmp_path: Path, sim: Sim
) -> None:
    with server_with_grace(tmp_path, sim, LONG) as server, connect(server) as sock:
        whole = post(body_of("x"), "half")
        sock.sendall(whole[:-5])
        await prompt(server.url, "x", model="sim", max_tokens=1)  # by now the half one is there
        server.process.terminate()
        await gone(server, SOON)
        answer = sock.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"server_shutdown" in answer


async def test_a_second_signal_ends_the_grace(tmp_path: Path, sim: Sim) -> None:
    """Without a master: Hypercorn's passes on only that there was a first one."""
    with server_with_grace(tmp_path, sim, LONG, "--workers", "0") as server:
        async with trio.open_nursery() as nursery:
            exchange = await streaming(server, nursery, ENDLESS, "s")
            server.process.terminate()
            server.wait_for_log("drain_begin")
            server.process.terminate()
            assert await trio.to_thread.run_sync(server.process.wait, SOON) == -signal.SIGTERM
        assert exchange.error_code == "server_shutdown"
        assert exchange.ends_with_done
        server.process.returncode = 0
