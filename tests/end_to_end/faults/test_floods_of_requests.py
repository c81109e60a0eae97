"""HTTP/1.1 clients that send too much: too long, too many, too small, and never read."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.end_to_end.faults.flood_clients import Flood, Trickle, resident_megabytes, run_until
from tests.end_to_end.faults.raw_clients import (
    body_of,
    connect,
    post,
    read_until,
    read_until_closed,
)
from tests.end_to_end.faults.test_hostile_connections import WEBSOCKET, get
from tests.end_to_end.processes import Server, Sim, running_server, settled_descriptors, wait_until

BODY_BYTES = 10_000
GROWTH_MEGABYTES = 40
WEBSOCKETS = 500
CHUNKED = post(b"", "chunked").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("requests")
    with running_server(
        path, shared_sim.upstream("openai"), log_level="info", max_body_bytes=str(BODY_BYTES)
    ) as server:
        for _ in range(3):
            ask(server)
        yield server


def ask(server: Server) -> bytes:
    """Return a streamed answer, whole; it takes 0.3 s of a server that does nothing else."""
    with connect(server) as sock:
        sock.sendall(post(body_of("x", model="sim?tps=100&tokens=30"), "healthy"))
        return read_until(sock, b"[DONE]")


@pytest.mark.parametrize(
    ("first", "again", "statuses"),
    [
        pytest.param(b"GET /", b"x" * 1000, {b"400", b"431"}, id="line"),
        pytest.param(b"GET / HTTP/1.1\r\nx: ", b"x" * 1000, {b"400", b"431"}, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 100, {b"400", b"431"}, id="headers"),
        pytest.param(b"", b"\r\n" * 500, {b"400", b"431", b""}, id="blank-lines"),
        pytest.param(CHUNKED, b"1;" + b"x" * 1000, {b"400", b"431"}, id="chunk-head"),
        pytest.param(CHUNKED + b"0\r\n", b"x: y\r\n" * 100, {b"400", b"431"}, id="trailers"),
    ],
)
def test_what_does_not_end_is_refused_and_its_connection_closed(
    server: Server, first: bytes, again: bytes, statuses: set[bytes]
) -> None:
    before, resident = settled_descriptors(server), resident_megabytes(server)
    with connect(server) as sock:
        with contextlib.suppress(ConnectionError, TimeoutError):
            sock.sendall(first)
            sock.settimeout(1)
            for _ in range(2000):
                sock.sendall(again)
        sock.settimeout(30)
        answer = read_until_closed(sock)
    assert answer[9:12] in statuses, answer
    assert resident_megabytes(server) < resident + GROWTH_MEGABYTES
    wait_until(lambda: server.descriptors() <= before)
    assert b"w29 " in ask(server)


@pytest.mark.parametrize("size", [1024, 1], ids=["large", "of-a-byte"])
def test_chunks_without_end_are_413_at_the_limit(server: Server, size: int) -> None:
    before = settled_descriptors(server)
    chunk = b"%x\r\n%s\r\n" % (size, b"x" * size)
    with connect(server) as sock:
        sock.sendall(CHUNKED + chunk * (2 * BODY_BYTES // size))
        assert read_until(sock, b"JARVIS_MAX_BODY_BYTES").startswith(b"HTTP/1.1 413 ")
    wait_until(lambda: server.descriptors() <= before)


def test_a_body_over_the_limit_that_trickles_is_413_at_the_limit(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(CHUNKED + b"%x\r\n" % (BODY_BYTES + 100) + b"x" * BODY_BYTES)
        trickle = Trickle(sock, b"x" * 50)
        run_until({"": trickle}, lambda trickle: b"JARVIS_MAX_BODY_BYTES" in trickle.received)
    assert trickle.received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
def test_requests_without_end_on_one_connection_are_in_nobodys_way(
    server: Server, reads: bool
) -> None:
    before, resident = settled_descriptors(server), resident_megabytes(server)
    with contextlib.ExitStack() as floods:
        for _ in range(3):
            flood = Flood(server, b"", get(target="/metrics") * 1000, reads=reads)
            floods.enter_context(flood)
        for _ in range(4):
            assert b"w29 " in ask(server)
        assert resident_megabytes(server) < resident + GROWTH_MEGABYTES
    wait_until(lambda: server.descriptors() <= before)
    assert resident_megabytes(server) < resident + GROWTH_MEGABYTES


def test_websockets_in_masses_are_refused_and_leave_nothing(server: Server) -> None:
    before = settled_descriptors(server)
    with contextlib.ExitStack() as sockets:
        trickles = {}
        for number in range(WEBSOCKETS):
            sock: socket.socket = sockets.enter_context(connect(server))
            sock.sendall(get(*WEBSOCKET, target="/v1/chat/completions"))
            trickles[str(number)] = Trickle(sock)
        run_until(trickles, lambda trickle: trickle.is_dropped)
        assert {trickle.received[:11] for trickle in trickles.values()} == {b"HTTP/1.1 40"}
        wait_until(lambda: server.descriptors() <= before)
    assert b"w29 " in ask(server)
