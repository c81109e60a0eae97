"""HTTP/3: a real aioquic client over real UDP, and what it may do to us.

The server's idle timeout is ``STALL`` seconds here.
"""

import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trio
import trustme
from aioquic.h3.connection import ErrorCode, FrameType
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from tests.end_to_end.faults.test_stalled_clients import context
from tests.end_to_end.http3_client import Http3Client, Http3Exchange, http3_client
from tests.end_to_end.processes import KEY, Server, Sim
from tests.end_to_end.serving import refusal, serving

ENDLESS = "sim?tps=20&tokens=100000"
FLOOD = "sim?tps=0&tokens=1000000"
UNREADABLE = "http://[/x"
STALL = 4
LONG = 30
SOON = 12


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> str:
    """A file with the key and the certificate."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


@contextmanager
def http3_server(tmp_path: Path, certificate: str, sim: Sim, grace: int = 1) -> Iterator[Server]:
    options = ["--port", "0", "--certfile", certificate, "--keyfile", certificate, "--http3"]
    with serving(
        tmp_path,
        *options,
        upstream=sim.upstream("openai"),
        write_stall_timeout_s=str(STALL),
        graceful_timeout_s=str(grace),
    ) as server:
        yield server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim, certificate: str
) -> Iterator[Server]:
    with http3_server(tmp_path_factory.mktemp("http3"), certificate, shared_sim) as server:
        yield server


@asynccontextmanager
async def streaming(
    server: Server, authority: trustme.CA, session: str, model: str = ENDLESS
) -> AsyncIterator[tuple[Http3Client, Http3Exchange]]:
    """Connect and prompt; yield when the first text is there."""
    async with http3_client(server.url, authority) as client:
        exchange = client.prompt("x", session, model=model)
        with trio.fail_after(10):
            await exchange.first_text.wait()
        yield client, exchange


async def assert_answers(server: Server, authority: trustme.CA) -> None:
    """A client that comes now gets its answer."""
    async with http3_client(server.url, authority) as client:
        answer = client.prompt("x", "bystander", model="sim", max_tokens=2)
        with trio.fail_after(10):
            await answer.ended.wait()
        assert answer.is_complete


async def ended(server: Server, trace: str, cause: str) -> None:
    wait = partial(server.wait_for_log, "stream_end", trace=trace, cause=cause)
    await trio.to_thread.run_sync(wait)


async def test_an_answer_is_streamed_to_its_done(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with streaming(server, authority, "answer", "sim?tps=100&tokens=50") as (_, answer):
        assert not answer.ended.is_set()
        with trio.fail_after(10):
            await answer.ended.wait()
        assert answer.is_complete
        assert answer.text.endswith("w49 ")
    await ended(server, "answer", "completed")


def test_answers_over_tcp_say_where_http3_is(server: Server, authority: trustme.CA) -> None:
    with httpx.Client(http2=True, verify=context(authority), trust_env=False) as client:
        answer = client.get(f"{server.url}/v1/models", headers=KEY)
    assert answer.http_version == "HTTP/2"
    assert answer.headers["alt-svc"] == f'h3=":{urlsplit(server.url).port}"; ma=3600'


def test_the_readiness_line_says_that_it_is_on(tmp_path: Path, sim: Sim, certificate: str) -> None:
    with http3_server(tmp_path, certificate, sim) as server:
        assert server.process.stdout is not None
        assert b"HTTP/3 is on" in server.process.stdout.readline()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--unix-socket", "s"], "does not go with a unix socket"),
        (["--port", "0", "--reuse-port"], "does not go with JARVIS_REUSE_PORT"),
    ],
)
def test_what_it_cannot_be_combined_with_is_a_sentence(
    certificate: str, options: list[str], said: str
) -> None:
    assert said in refusal("--http3", "--certfile", certificate, "--keyfile", certificate, *options)


def test_a_taken_udp_port_is_a_sentence(certificate: str) -> None:
    """While it is free over TCP: on an address where nobody else's clients have ports."""
    host = "127.0.0.77"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((host, 0))
        port = str(taken.getsockname()[1])
        options = ["--certfile", certificate, "--keyfile", certificate, "--host", host]
        options += ["--port", port]
        assert f"{host}:{port} over UDP" in refusal("--http3", *options)


def test_a_missing_aioquic_is_a_sentence_that_says_how_to_get_it(
    tmp_path: Path, certificate: str
) -> None:
    tmp_path.joinpath("aioquic.py").touch()  # in the way of the real one
    options = ["--certfile", certificate, "--keyfile", certificate, "--port", "0"]
    assert "pip install 'jarvis-trio[h3]'" in refusal("--http3", *options, cwd=tmp_path)


async def test_a_second_prompt_supersedes_the_first(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with streaming(server, authority, "session") as (client, first):
        second = client.prompt("y", "session", model="sim", max_tokens=2)
        with trio.fail_after(10):
            await first.ended.wait()
            await second.ended.wait()
        assert first.error_code == "superseded"
        assert first.ends_with_done
        assert second.is_complete


async def test_a_client_that_resets_its_stream_frees_the_model(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    """And goes on with its other streams."""
    async with streaming(server, authority, "reset") as (client, exchange):
        sibling = client.prompt("y", "sibling", model="sim?tps=20&tokens=20")
        client.leave(exchange)
        await ended(server, "reset", "client_disconnect")
        with trio.fail_after(10):
            await sibling.ended.wait()
        assert sibling.is_complete
    assert sim.wait_until_all_closed()["aborted"] == 1


async def test_a_client_that_closes_its_connection_frees_the_model(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with streaming(server, authority, "close") as (client, _):
        client.prompt("y marker:too", "close-too", model=ENDLESS)
        await sim.wait_for("too", "first_byte")
    await ended(server, "close", "client_disconnect")
    await ended(server, "close-too", "client_disconnect")
    assert sim.wait_until_all_closed()["aborted"] == 2


async def test_a_client_that_vanishes_is_found_out(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with streaming(server, authority, "vanish") as (client, _):
        client.vanish()
        await ended(server, "vanish", "client_disconnect")
    assert sim.wait_until_all_closed()["aborted"] == 1


async def test_a_client_that_gives_no_window_is_dropped_and_its_siblings_are_not(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    """What it does not take is not asked of the model either: nothing is held for it."""
    window = 65_536
    async with http3_client(server.url, authority, stream_window=window) as client:
        client.give_no_more_room()
        stalled = client.prompt("x", "stalled", model=FLOOD)
        sibling = client.prompt("y", "sibling", model=f"sim?tps=20&tokens={30 * STALL}")
        with trio.fail_after(20):
            await sibling.ended.wait()
            await stalled.ended.wait()
        assert sibling.is_complete
        assert stalled.was_reset
        await ended(server, "stalled", "client_stalled")
    assert sim.wait_until_all_closed()["aborted"] == 1


async def test_a_stalled_client_delays_no_prompt_of_its_session(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with (
        http3_client(server.url, authority, stream_window=65_536) as stalled,
        http3_client(server.url, authority) as client,
    ):
        stalled.give_no_more_room()
        stalled.prompt("x", "busy", model=FLOOD, trace="stands")
        with trio.fail_after(10):
            await stalled.exchanges[0].first_text.wait()
            answer = client.prompt("y", "busy", model="sim", max_tokens=2, trace="next")
            await answer.ended.wait()
        assert answer.is_complete
    await ended(server, "stands", "superseded")


async def test_a_slow_reader_is_served_to_the_end(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    """Single writes take longer than the stall timeout, but something is taken all the while."""
    async with http3_client(server.url, authority, stream_window=65_536) as client:
        client.give_no_more_room()
        answer = client.prompt("x", "slow", model="sim?tps=0&tokens=30000")
        with trio.fail_after(60):
            await answer.first_text.wait()
            for _ in range(8):
                await trio.sleep(STALL / 3)
                client.give_room(answer, 4096)
            client.give_room(answer, 1_000_000)
            await answer.ended.wait()
        assert answer.is_complete
    await ended(server, "slow", "completed")


async def test_an_answer_that_takes_long_is_no_idle_connection(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with http3_client(server.url, authority) as client:
        answer = client.prompt(
            "x", "long", model=f"sim?headers_ms={2000 * STALL}", max_tokens=2, stream=False
        )
        with trio.fail_after(20):
            await answer.ended.wait()
        assert answer.status == 200


async def test_after_the_grace_a_stream_gets_its_ending_and_the_server_goes(
    tmp_path: Path, sim: Sim, authority: trustme.CA, certificate: str
) -> None:
    with http3_server(tmp_path, certificate, sim) as server:
        async with streaming(server, authority, "s") as (client, exchange):
            server.process.terminate()
            with trio.fail_after(SOON):
                await exchange.ended.wait()
                await client.closed.wait()
            assert exchange.error_code == "server_shutdown"
            assert exchange.ends_with_done
            assert await trio.to_thread.run_sync(server.process.wait, SOON) == 0


async def test_a_server_goes_with_its_last_answer_and_closes_idle_connections(
    tmp_path: Path, sim: Sim, authority: trustme.CA, certificate: str
) -> None:
    with http3_server(tmp_path, certificate, sim, grace=LONG) as server:
        async with streaming(server, authority, "s", "sim?tps=30&tokens=60") as (_, exchange):
            async with http3_client(server.url, authority) as idle:
                server.process.terminate()
                assert await trio.to_thread.run_sync(server.process.wait, SOON) == 0
                with trio.fail_after(5):
                    await idle.closed.wait()
            assert exchange.is_complete
            assert exchange.text.endswith("w59 ")


async def test_an_answer_has_arrived_before_its_connection_is_closed(
    tmp_path: Path, sim: Sim, authority: trustme.CA, certificate: str
) -> None:
    """All of it is made, and most of it under way, when the server would like to go."""
    with http3_server(tmp_path, certificate, sim, grace=LONG) as server:
        async with http3_client(server.url, authority) as client:
            client.read_slowly(30_000, 0.05)
            answer = client.prompt("x", "slow", model="sim?tps=0&tokens=5000")
            await ended(server, "slow", "completed")
            assert not answer.ended.is_set()
            server.process.terminate()
            with trio.fail_after(SOON):
                await client.closed.wait()
            assert answer.is_complete
            assert await trio.to_thread.run_sync(server.process.wait, SOON) == 0


async def test_a_stalled_client_holds_nothing_up_beyond_the_grace(
    tmp_path: Path, sim: Sim, authority: trustme.CA, certificate: str
) -> None:
    with http3_server(tmp_path, certificate, sim) as server:
        async with http3_client(server.url, authority, stream_window=65_536) as client:
            client.give_no_more_room()
            exchange = client.prompt("x", "stalled", model=FLOOD)
            with trio.fail_after(10):
                await exchange.first_text.wait()
            server.process.terminate()
            assert await trio.to_thread.run_sync(server.process.wait, SOON) == 0
    sim.wait_until_all_closed()


def garbage(chance: random.Random) -> bytes:
    """Return what is no QUIC, or only looks like it."""
    noise = chance.randbytes(chance.randrange(1, 1400))
    version = chance.choice([b"\0\0\0\1", b"\0\0\0\0", b"\x6b\x33\x43\xcf", b"????"])
    long_header = bytes([0xC0 | chance.randrange(64)]) + version
    initial = b"\x08" + chance.randbytes(8) + b"\x08" + chance.randbytes(8) + b"\0\x44\xb0"
    return chance.choice(
        [
            noise,
            long_header + noise,
            long_header + initial + chance.randbytes(1200),
            b"\xc3\0\0\0\1" + initial + chance.randbytes(1200),
            bytes([0x40 | chance.randrange(64)]) + noise,
        ]
    )


async def test_garbage_hurts_nobody(server: Server, sim: Sim, authority: trustme.CA) -> None:
    address = urlsplit(server.url)
    chance = random.Random(20260)  # noqa: S311 - the same garbage each time
    async with streaming(server, authority, "amid", "sim?tps=50&tokens=100") as (_, answer):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(2000):
                sock.sendto(garbage(chance), (address.hostname, address.port))
                if number % 20 == 0:
                    await trio.sleep(0.005)
        await assert_answers(server, authority)
        with trio.fail_after(20):
            await answer.ended.wait()
        assert answer.is_complete


async def test_handshakes_that_nobody_finishes_are_let_go_of(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    address = urlsplit(server.url)
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(300):
            quic = QuicConnection(configuration=configuration)
            quic.connect((address.hostname, address.port), now=0)
            for data, to in quic.datagrams_to_send(now=0):
                sock.sendto(data, to)
        await assert_answers(server, authority)


async def test_trailers_are_no_second_request(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with http3_client(server.url, authority) as client:
        answer = client.request("POST", "/v1/nothing", body=b"x", end=False)
        client.http.send_headers(answer.stream_id, [(b"x-checksum", b"1")], end_stream=True)
        client.flush()
        with trio.fail_after(5):
            await answer.ended.wait()
        assert answer.status == 404


async def test_what_comes_behind_an_answer_is_passed_over(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    """Here the answer does not wait for the rest of the request."""
    async with http3_client(server.url, authority) as client:
        answer = client.request("POST", UNREADABLE, end=False)
        for _ in range(50):
            client.http.send_data(answer.stream_id, b"x" * 1000, end_stream=False)
        client.flush()
        with trio.fail_after(10):
            await answer.ended.wait()
        later = client.request("GET", "/healthz")
        with trio.fail_after(5):
            await later.ended.wait()
        assert later.status == 200


async def test_a_path_that_is_not_ascii_ends_its_own_connection_alone(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with streaming(server, authority, "other", "sim?tps=50&tokens=50") as (_, answer):
        async with http3_client(server.url, authority) as client:
            client.request("GET", "/\N{LATIN SMALL LETTER E WITH ACUTE}")
            with trio.fail_after(5):
                await client.closed.wait()
        with trio.fail_after(10):
            await answer.ended.wait()
        assert answer.is_complete
    server.wait_for_log("connection_crashed")


async def test_headers_that_do_not_end_end_the_connection(
    server: Server, sim: Sim, authority: trustme.CA
) -> None:
    async with http3_client(server.url, authority) as client:
        stream_id = client.quic.get_next_available_stream_id()
        client.quic.send_stream_data(stream_id, bytes([FrameType.HEADERS]) + b"\x9f\xff\xff\xff")
        for _ in range(100):
            client.quic.send_stream_data(stream_id, os.urandom(1000))
        client.flush()
        with trio.fail_after(10):
            await client.closed.wait()
        assert client.close_code == ErrorCode.H3_EXCESSIVE_LOAD
    await assert_answers(server, authority)
