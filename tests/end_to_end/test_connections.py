"""Connections behave: three things that this stack breaks when it is left alone, and the 413."""

import json
import socket
import ssl
import time
from collections.abc import Callable

import httpx
import pytest

from tests.end_to_end.processes import KEY, Server, Sim, running_server

CHAT = json.dumps({"prompt": "What is 2+2?", "stream": True}).encode()


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=15)


def request(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: localhost",
        "Authorization: Bearer devkey",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = sock.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def test_connection_close_is_honoured(simulated_server: Server) -> None:
    with connect(simulated_server) as sock:
        sock.sendall(request(CHAT, "Connection: close"))
        answer = b""
        while piece := sock.recv(65536):  # ends by the server's close, or by the 15 s timeout
            answer += piece
        assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_a_kept_connection_is_used_again(simulated_server: Server) -> None:
    with connect(simulated_server) as sock:
        for _ in range(3):
            sock.sendall(request(CHAT))
            assert read_until(sock, b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'{"status":"ok"}' in read_until(sock, b"}")


def test_a_pooling_client_uses_one_connection(simulated_server: Server) -> None:
    with httpx.Client(base_url=simulated_server.url, headers=KEY, trust_env=False) as client:
        ports = set()
        for _ in range(5):
            response = client.post("/v1/chat/completions", content=CHAT)
            assert response.text.endswith("data: [DONE]\n\n")
            stream = response.extensions["network_stream"]
            ports.add(stream.get_extra_info("client_addr"))
        assert len(ports) == 1


def test_an_idle_connection_is_closed_by_the_keep_alive_timeout(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("keep-alive")
    with (
        running_server(path, "simulated:", options=["--keep-alive", "3"]) as server,
        connect(server) as sock,
        connect(server) as never_asks,
    ):
        sock.sendall(request(CHAT))
        read_until(sock, b"0\r\n\r\n")
        assert sock.recv(1) == b""  # closed by the server, or the 15 s timeout fails this
        assert never_asks.recv(1) == b""


def test_a_client_that_is_still_sending_reads_its_413(simulated_server: Server) -> None:
    """The body is announced, or found out, to be too large; the client sends all of it first."""
    size = 8 * 1024 * 1024
    with connect(simulated_server) as sock:
        sock.sendall(request(b"", length=size))
        for _ in range(size // 65536):
            sock.sendall(b"x" * 65536)
        answer = read_until(sock, b"}}")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


def test_a_client_that_floods_without_a_length_reads_its_413(simulated_server: Server) -> None:
    with connect(simulated_server) as sock:
        head = request(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
        sock.sendall(head)
        for _ in range(128):
            sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        answer = read_until(sock, b"}}")
        assert answer.startswith(b"HTTP/1.1 413")


def test_a_client_without_a_key_that_is_still_sending_reads_its_401(
    simulated_server: Server,
) -> None:
    size = 2 * 1024 * 1024
    with connect(simulated_server) as sock:
        sock.sendall(request(b"", length=size).replace(b"devkey", b"wrong"))
        for _ in range(size // 65536):
            sock.sendall(b"x" * 65536)
        assert read_until(sock, b"}}").startswith(b"HTTP/1.1 401")


def test_hundreds_of_short_connections_leave_no_descriptor(simulated_server: Server) -> None:
    def descriptors() -> int:
        children = simulated_server.children()
        return sum(len(list((child / "fd").iterdir())) for child in children)

    def some(count: int) -> None:
        for number in range(count):
            with connect(simulated_server) as sock:
                if number % 3 == 0:
                    continue  # never asks anything
                if number % 3 == 1:
                    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x.localhost\r\n\r\n")
                    read_until(sock, b"}")
                else:
                    sock.sendall(request(CHAT))
                    sock.recv(100)

    some(50)
    before = settled(descriptors)
    some(300)
    assert settled(descriptors) <= before + 2


def settled(measure: Callable[[], int]) -> int:
    """Return a figure once it has stopped falling."""
    last = measure()
    for _ in range(100):
        time.sleep(0.05)
        now = measure()
        if now >= last:
            return now
        last = now
    return last


def test_http2_streams_over_tls(tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim) -> None:
    """The same server by ALPN h2: several streams on one connection, and a reset of one of them."""
    trustme = pytest.importorskip("trustme")
    path = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(path / "cert.pem")
    certificate.private_key_pem.write_to_path(path / "key.pem")
    options = ["--certfile", str(path / "cert.pem"), "--keyfile", str(path / "key.pem")]
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with (
        running_server(path, "simulated:", options=options, tls=context) as server,
        httpx.Client(http2=True, verify=context, base_url=server.url, trust_env=False) as client,
    ):
        for _ in range(2):
            response = client.post("/v1/chat/completions", content=CHAT, headers=KEY)
            assert response.http_version == "HTTP/2"
            assert response.text.endswith("data: [DONE]\n\n")
