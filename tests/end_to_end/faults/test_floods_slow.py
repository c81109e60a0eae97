"""Clients that send slowly, or nothing: each is dropped in time, and none is in another's way."""

import contextlib
import json
import os
import resource
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.end_to_end.faults.flood_clients import (
    END_HEADERS,
    HEADERS,
    HELLO,
    PREFACE,
    RST_STREAM,
    Trickle,
    descriptors,
    frame,
    head,
    run_until,
    workers,
)
from tests.end_to_end.faults.raw_clients import body_of, connect, post, read_until
from tests.end_to_end.processes import (
    Server,
    Sim,
    descriptors_of,
    fetch,
    running_server,
    wait_until,
)
from tests.end_to_end.serving import serving

RECEIVE = 2
"""What any of this may take; an idle connection stays for more than a minute."""

HANDSHAKE = 4
"""The same, where some of the clients have to come to the end of one in that time."""

SLOW = 500
SILENT = 2000
ROOM = 200
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module", params=["hypercorn", "serve"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim
) -> Iterator[Server]:
    path, upstream = tmp_path_factory.mktemp("slow"), shared_sim.upstream("openai")
    launcher = (
        running_server(path, upstream, receive_timeout_s=str(RECEIVE))
        if request.param == "hypercorn"
        else serving(path, port="0", upstream=upstream, receive_timeout_s=str(RECEIVE))
    )
    with launcher as server:
        ask(server)  # what is opened only once is open then
        yield server


def ask(server: Server) -> bytes:
    """Return a streamed answer, whole."""
    with connect(server) as sock:
        sock.sendall(post(body_of("x", model="sim?tps=100&tokens=30"), "healthy"))
        return read_until(sock, b"[DONE]")


def upload(body: bytes = b"") -> bytes:
    """Return a request whose body does not come, but for its beginning."""
    return post(b"", "slow").replace(b"Content-Length: 0", b"Content-Length: 9999") + body


def h2_upload() -> bytes:
    return HELLO + frame(HEADERS, END_HEADERS, 1, head(CHAT, key=True))


def test_whoever_never_ends_its_first_request_is_dropped_in_time(server: Server) -> None:
    heads = {
        "nothing": (b"", b""),
        "head, a byte at a time": (b"GET / HTTP/1.1\r\n", b"x-long: " + b"x" * 5000),
        "preface alone": (PREFACE, b""),
        "preface, a byte at a time": (b"", HELLO),
        "settings": (HELLO, b""),
        "half a header block": (HELLO + frame(HEADERS, 0, 1, head()), b""),
        "half a frame": (HELLO, frame(HEADERS, 0, 1, b"x" * 5000)),
    }
    began = time.monotonic()
    with contextlib.ExitStack() as sockets:
        trickles = {}
        for name, (first, rest) in heads.items():
            sock = sockets.enter_context(connect(server))
            sock.sendall(first)
            trickles[name] = Trickle(sock, rest)
        ended = run_until(trickles, lambda trickle: trickle.is_dropped)
    assert min(ended.values()) >= began + RECEIVE, ended


def test_a_connection_whose_last_stream_is_reset_is_as_idle_as_any(
    tmp_path: Path, shared_sim: Sim
) -> None:
    begun = HELLO + frame(HEADERS, END_HEADERS, 1, head(CHAT, key=True))
    with (
        running_server(
            tmp_path, shared_sim.upstream("openai"), options=["--keep-alive", "1"]
        ) as own,
        connect(own) as sock,
    ):
        sock.sendall(begun + frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))
        trickle = Trickle(sock)
        run_until({"": trickle}, lambda trickle: trickle.is_dropped)


def test_a_client_that_never_ends_its_tls_handshake_is_dropped_in_time(
    tmp_path: Path, shared_sim: Sim
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls, h2 = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(tls)
    authority.configure_trust(h2)
    h2.set_alpn_protocols(["h2"])
    options = ["--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem")]
    with running_server(
        tmp_path,
        shared_sim.upstream("openai"),
        options=options,
        tls=tls,
        receive_timeout_s=str(HANDSHAKE),
    ) as server:
        before, began = server.descriptors(), time.monotonic()
        with contextlib.ExitStack() as sockets:

            def client(wrapped: ssl.SSLContext | None = None, rest: bytes = b"") -> Trickle:
                return Trickle(sockets.enter_context(connect(server, wrapped)), rest)

            ended = run_until(
                {
                    "no handshake": client(),
                    "a handshake, a byte at a time": client(rest=client_hello(tls)[:-1]),
                    "then nothing": client(tls),
                    "then a head, a byte at a time": client(
                        tls, b"GET / HTTP/1.1\r\nx: " + b"x" * 999
                    ),
                    "then HTTP/2, but nothing": client(h2),
                    "then HTTP/2, its preface": client(h2, HELLO),
                },
                lambda trickle: trickle.is_dropped,
            )
        assert min(ended.values()) >= began + HANDSHAKE, ended
        wait_until(lambda: server.descriptors() <= before)


def client_hello(tls: ssl.SSLContext) -> bytes:
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def test_whoever_sends_its_body_slowly_is_told_408_in_time(server: Server) -> None:
    began = time.monotonic()
    with connect(server) as plain, connect(server) as h2:
        plain.sendall(upload())
        h2.sendall(h2_upload())
        trickles = {"HTTP/1.1": Trickle(plain, b"x" * 9000), "HTTP/2": Trickle(h2)}
        ended = run_until(trickles, lambda trickle: b"did not arrive in time" in trickle.received)
    assert min(ended.values()) >= began + RECEIVE, ended
    status, _, body = trickles["HTTP/1.1"].received.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["error"]["code"] == "request_timeout"


def test_five_hundred_slow_clients_are_in_nobodys_way_and_leave_nothing(server: Server) -> None:
    kinds = [b"GET /", HELLO, upload(b"{"), h2_upload()]
    before = descriptors(server)
    with contextlib.ExitStack() as sockets:
        trickles = {}
        for number in range(SLOW):
            sock = sockets.enter_context(connect(server))
            sock.sendall(kinds[number % len(kinds)])
            trickles[str(number)] = Trickle(sock)
        assert b"w29 " in ask(server)
        run_until(
            trickles, lambda trickle: trickle.is_dropped or b"request_timeout" in trickle.received
        )
    wait_until(lambda: descriptors(server) <= before)


def test_two_thousand_silent_connections_are_in_nobodys_way_and_leave_nothing(
    server: Server,
) -> None:
    before = descriptors(server)
    with many_connections(server, SILENT) as socks:
        assert b"w29 " in ask(server)
        trickles = {str(number): Trickle(sock) for number, sock in enumerate(socks)}
        run_until(trickles, lambda trickle: trickle.is_dropped)
        wait_until(lambda: descriptors(server) <= before)
    assert b"w29 " in ask(server)


def test_five_hundred_connections_can_wait_for_a_server_that_is_busy(server: Server) -> None:
    before, busy = descriptors(server), int(max(workers(server), key=descriptors_of).name)
    os.kill(busy, signal.SIGSTOP)
    try:
        with many_connections(server, SLOW, wait=False) as socks:
            wait_until(lambda: all(is_connected(sock) for sock in socks))
    finally:
        os.kill(busy, signal.SIGCONT)
    assert b"w29 " in ask(server)
    wait_until(lambda: descriptors(server) <= before)


def is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def test_a_server_out_of_descriptors_lives_and_answers_when_there_are_some(
    tmp_path: Path, shared_sim: Sim
) -> None:
    with serving(
        tmp_path,
        port="0",
        upstream=shared_sim.upstream("openai"),
        receive_timeout_s=str(RECEIVE),
        write_stall_timeout_s="1",
    ) as server:
        (worker,) = workers(server)
        _, most = resource.prlimit(int(worker.name), resource.RLIMIT_NOFILE)
        resource.prlimit(int(worker.name), resource.RLIMIT_NOFILE, (ROOM, most))
        with connect(server, receive_buffer=4096) as stalled:
            stalled.sendall(post(body_of("x", model="sim?tps=0&tokens=1000000"), "stalled"))
            assert stalled.recv(12) == b"HTTP/1.1 200"  # it has all the descriptors it needs
            with many_connections(server, SILENT, wait=False):
                server.wait_for_log("accept_failed")
                server.wait_for_log("stream_end", trace="stalled", cause="client_stalled")
                assert descriptors(server) <= ROOM
                assert server.process.poll() is None
        assert b"w29 " in ask(server)
        assert fetch(f"{server.url}/healthz").status_code == 200


@contextlib.contextmanager
def many_connections(
    server: Server, count: int, *, wait: bool = True
) -> Iterator[list[socket.socket]]:
    """Connect ``count`` times; without ``wait``, some are left to find no room."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most == resource.RLIM_INFINITY or most > count + 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), most))
    _, _, port = server.url.rpartition(":")
    with contextlib.ExitStack() as sockets:
        socks = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.settimeout(30 if wait else 0)
            sock.connect_ex(("127.0.0.1", int(port)))
        yield socks
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
