"""I6: after thousands of endings of every kind, nothing is left and memory is what it was."""

import itertools
import json
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from tests.end_to_end.processes import (
    KEY,
    Server,
    Sim,
    fetch,
    running_server,
    running_sim,
    settled,
    wait_until,
)

WARM_UP = 2500
"""Until then the database's pages fill the caches that SQLite has for them."""

ENDINGS = 5000
AT_ONCE = 40
AT_ONCE_IN_WARM_UP = 120
"""More, so that the most that is ever needed at once has been needed before it is measured."""

STALLED_AT_ONCE = 2
GROWTH = 0.01
"""What resident memory may grow by, after the warm-up."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
SLOW = "sim?tps=50&tokens=100000"
FLOOD = "sim?tps=0&tokens=1000000"
SHORT = "sim?tps=0&tokens=3"


class Prompt:
    """One connection of a client with one prompt on it; ``marker`` is its name at the upstream."""

    def __init__(self, stream: trio.SocketStream, marker: str) -> None:
        self.stream = stream
        self.marker = marker
        self.received = b""

    async def until(self, text: bytes) -> None:
        while text not in self.received:
            piece = await self.stream.receive_some()
            assert piece, f"the server closed before {text!r}: {self.received!r}"
            self.received += piece

    async def to_the_end(self) -> bytes:
        while piece := await self.stream.receive_some():
            self.received += piece
        return self.received


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


Ending = Callable[["Storm"], Awaitable[None]]


class Storm:
    """Clients of one server over one mock upstream."""

    def __init__(self, server: Server, sim: Sim) -> None:
        self.address = address_of(server.url)
        self.upstream = address_of(sim.url)
        self.numbers = itertools.count()
        # How many answers stall at once decides how much memory is ever needed: a megabyte each.
        self.stalling = trio.Semaphore(STALLED_AT_ONCE)

    @asynccontextmanager
    async def prompt(
        self,
        model: str,
        *,
        stream: bool = True,
        session: str | None = None,
        receive_buffer: int | None = None,
    ) -> AsyncIterator[Prompt]:
        """Send one prompt; the client leaves with the block."""
        marker = f"n{next(self.numbers)}"
        text = f"a question with some words in it, marker:{marker}"
        body = json.dumps({"model": model, "prompt": text, "stream": stream})
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Authorization: Bearer devkey\r\nContent-Type: application/json\r\n"
            f"X-Session-Id: {session or marker}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with trio.socket.socket() as sock:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await sock.connect(self.address)
            connection = Prompt(trio.SocketStream(sock), marker)
            await connection.stream.send_all((head + body).encode())
            yield connection

    async def upstream_saw(self, kind: str, marker: str) -> None:
        """Wait until the mock upstream has come so far with that request."""
        stream = await trio.open_tcp_stream(*self.upstream)
        async with stream:
            path = f"/sim/wait?marker={marker}&kind={kind}"
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n".encode())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")

    async def completed(self) -> None:
        async with self.prompt(SHORT) as prompt:
            assert b'"finish_reason":"stop"' in await prompt.to_the_end()

    async def completed_whole(self) -> None:
        async with self.prompt(SHORT, stream=False) as prompt:
            assert b'"finish_reason":"stop"' in await prompt.to_the_end()

    async def superseded(self) -> None:
        session = f"s{next(self.numbers)}"
        async with self.prompt(SLOW, session=session) as first:
            await first.until(b"w0")
            async with self.prompt(SHORT, session=session) as second:
                assert b'"code":"superseded"' in await first.to_the_end()
                assert b'"finish_reason":"stop"' in await second.to_the_end()

    async def gone_at_once(self) -> None:
        async with self.prompt(SHORT):
            pass

    async def gone_in_connect(self) -> None:
        async with self.prompt("sim?headers_ms=600000") as prompt:
            await self.upstream_saw("arrival", prompt.marker)

    async def gone_in_prefill(self) -> None:
        async with self.prompt("sim?first_ms=600000") as prompt:
            await prompt.until(b'"role":"assistant"')

    async def gone_in_decode(self) -> None:
        async with self.prompt(SLOW) as prompt:
            await prompt.until(b"w0")

    async def reset_in_decode(self) -> None:
        async with self.prompt(SLOW) as prompt:
            await prompt.until(b"w0")
            prompt.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    async def gone_at_the_last_byte(self) -> None:
        async with self.prompt(SHORT) as prompt:
            await prompt.until(b'"finish_reason":"stop"')

    async def gone_from_a_whole_answer(self) -> None:
        async with self.prompt(SLOW, stream=False) as prompt:
            await self.upstream_saw("first_byte", prompt.marker)

    async def stalled(self) -> None:
        async with self.stalling, self.prompt(FLOOD, receive_buffer=4096) as prompt:
            await prompt.until(b"HTTP/1.1 200")
            await self.upstream_saw("closed", prompt.marker)

    async def upstream_dies(self) -> None:
        await self.failed("sim-die?at=300&tps=0", "upstream_eof")

    async def upstream_eof(self) -> None:
        await self.failed("sim-eof?tps=0&tokens=6", "upstream_eof")

    async def upstream_error(self) -> None:
        await self.failed("sim-error?tps=0&tokens=6", "upstream_error")

    async def upstream_garbage(self) -> None:
        await self.failed("sim-garbage?tps=0&tokens=6&at=3", "upstream_error")

    async def upstream_refuses(self) -> None:
        await self.failed("sim-refuse?status=500", "upstream_error")

    async def upstream_is_silent(self) -> None:
        await self.failed("sim-silent", "upstream_timeout")

    async def failed(self, model: str, code: str) -> None:
        async with self.prompt(model) as prompt:
            assert f'"code":"{code}"'.encode() in await prompt.to_the_end()


RARE: tuple[Ending, ...] = (Storm.stalled, Storm.upstream_is_silent)
"""Each takes a second at least: one of fifty endings."""

OFTEN: tuple[Ending, ...] = (
    Storm.completed,
    Storm.completed_whole,
    Storm.superseded,
    Storm.gone_at_once,
    Storm.gone_in_connect,
    Storm.gone_in_prefill,
    Storm.gone_in_decode,
    Storm.reset_in_decode,
    Storm.gone_at_the_last_byte,
    Storm.gone_from_a_whole_answer,
    Storm.upstream_dies,
    Storm.upstream_eof,
    Storm.upstream_error,
    Storm.upstream_garbage,
    Storm.upstream_refuses,
)


def mixed(count: int, seed: int) -> list[Ending]:
    """Return so many endings, each kind about as often as the others of its sort."""
    endings = [
        RARE[n // 50 % len(RARE)] if n % 50 == 0 else OFTEN[n % len(OFTEN)] for n in range(count)
    ]
    random.Random(seed).shuffle(endings)  # noqa: S311 - an order, not a secret
    return endings


async def play(storm: Storm, endings: list[Ending], at_once: int) -> None:
    left = iter(endings)

    async def client() -> None:
        for ending in left:
            with trio.fail_after(60):
                await ending(storm)

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(client)


def resident_bytes(process: Path) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text("ascii"))
    assert found is not None
    return int(found[1]) * 1024


def what_is_there(server: Server) -> tuple[str, ...]:
    """Return the numbers of sessions, streams, tasks and descriptors."""
    text = fetch(f"{server.url}/debug/tasks", KEY).text
    found = re.match(r"jarvis_trio pid=\d+ (sessions=\d+) (streams=\d+) (tasks=\d+)\n", text)
    assert found is not None, text
    return *found.groups(), f"descriptors={server.descriptors()}"


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_i6_five_thousand_endings_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is freed goes back to the system at once, also in small pieces: what stays is held.
    monkeypatch.setenv("PYTHONMALLOC", "malloc")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "32768")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "32768")
    # It does not depend on how many threads there happen to be, each of which would keep its own.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    with (
        running_sim("--tokens", "100") as sim,
        running_server(
            tmp_path,
            sim.upstream("openai"),
            write_stall_timeout_s="1",
            first_token_timeout_s="3",
            log_level="warning",
        ) as server,
    ):
        storm = Storm(server, sim)
        (worker,) = [child for child in server.children() if "spawn_main" in _command(child)]
        before = settled(lambda: what_is_there(server))
        sizes = []
        for count, at_once in ((WARM_UP, AT_ONCE_IN_WARM_UP), (ENDINGS, AT_ONCE)):
            trio.run(play, storm, mixed(count, seed=count), at_once)
            sim.wait_until_all_closed()
            wait_until(lambda: what_is_there(server) == before, lambda: what_is_there(server))
            sizes.append(resident_bytes(worker))
        assert sizes[1] <= sizes[0] * (1 + GROWTH), sizes


def _command(process: Path) -> str:
    return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
