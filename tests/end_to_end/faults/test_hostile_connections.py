"""Clients whose bytes or departures Hypercorn cannot handle: each costs its own connection alone.

Another client streams on, the server lives, nothing is left behind, and the console stays clean.
"""

import contextlib
import http.client
import json
import random
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.faults.raw_clients import (
    WINDOW,
    H2Client,
    body_of,
    connect,
    h2_bytes,
    post,
    read_until,
    read_until_closed,
    reset,
)
from tests.end_to_end.processes import (
    COMPLAINTS,
    Server,
    Sim,
    fetch,
    running_server,
    settled_descriptors,
    wait_until,
)

Attack = Callable[[socket.socket], None]

WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")
METHOD = (b":method", b"GET")
PATH = (b":path", b"/healthz")
ORIGIN = ((b":scheme", b"http"), (b":authority", b"localhost"))

FUZZED = 300


def get(*headers: str, target: str = "/healthz", host: str = "localhost") -> bytes:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def sending(data: bytes) -> Attack:
    return lambda sock: sock.sendall(data)


def go_on_after_the_answer(sock: socket.socket) -> None:
    """Over HTTP/2, send data for a request that is answered to its end while it is still open."""
    client = H2Client(sock, stream_window=WINDOW)
    headers = [
        (":method", "CONNECT"),  # a websocket's: refused at once, whatever the client still sends
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
    ]
    stream = client.open(headers)
    while stream not in client.ended:
        client.read_once()
    # Another answer on the connection: by then the first is forgotten.
    get = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/healthz"),
        (":authority", "localhost"),
    ]
    other = client.open(get)
    client.send(other, b"", end_stream=True)
    while other not in client.ended:
        client.read_once()
    client.send(stream, b"x" * 100)


def printed(server: Server) -> str:
    port = server.url.rpartition(":")[2]
    return (server.log_path.parents[1] / f"console-{port}.txt").read_text("utf-8")


def crashes(server: Server) -> int:
    return sum(line["event"] == "connection_crashed" for line in server.log())


def refusal(sock: socket.socket) -> tuple[int, str]:
    """Read one answer, which must be an error in our shape; return its status and code."""
    response = http.client.HTTPResponse(sock)
    response.begin()
    error = json.loads(response.read())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status, error["code"]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("hostile"), shared_sim) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The server; what a test makes it complain about is that test's failure."""
    before = len(printed(shared_server))
    yield shared_server
    since = printed(shared_server)[before:]
    assert not COMPLAINTS.search(since), since


@contextlib.contextmanager
def running(path: Path, sim: Sim, *, grace: int = 1) -> Iterator[Server]:
    """Run a server and let it answer once: what it opens only once is open then."""
    options = ["--graceful-timeout", str(grace + 2)]
    with running_server(
        path, sim.upstream("openai"), options=options, graceful_timeout_s=str(grace)
    ) as server:
        with connect(server) as sock:
            sock.sendall(post(body_of("x", model="sim", max_tokens=2), "first"))
            read_until(sock, b"[DONE]")
        yield server


def assert_contained(server: Server, attack: Attack) -> None:
    """``attack`` costs its own connection, the log says so, and another client's stream goes on."""
    workers, before = server.children(), crashes(server)
    with connect(server) as bystander:
        bystander.sendall(post(body_of("x", model="sim?tps=50&tokens=30"), "bystander"))
        answer = read_until(bystander, b'"content":"w')
        with connect(server) as hostile:
            attack(hostile)
            read_until_closed(hostile)
        server.wait_for_log("connection_crashed", before + 1)
        answer = read_until(bystander, b"[DONE]", answer)
    assert b"w29 " in answer
    assert fetch(f"{server.url}/healthz").status_code == 200
    assert server.process.poll() is None
    assert server.children() == workers


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(sending(data), id=name)
        for name, data in {
            "h2c-settings-no-base64": get(*H2C, "HTTP2-Settings: AAA"),
            "h2c-settings-no-such-window": get(*H2C, "HTTP2-Settings: AAT_____"),
            "h2-path-not-ascii": h2_bytes(METHOD, (b":path", b"/\xff"), *ORIGIN),
            "h2-method-not-ascii": h2_bytes((b":method", b"\xff"), PATH, *ORIGIN),
            "h2-connect": h2_bytes((b":method", b"CONNECT"), (b":authority", b"x:1")),
            "h2-two-thousand-priorities": h2_bytes(priorities=2000),
        }.items()
    ]
    + [pytest.param(go_on_after_the_answer, id="h2-data-after-the-answer")],
)
def test_bytes_that_hypercorn_cannot_handle_end_their_own_connection_alone(
    server: Server, attack: Attack
) -> None:
    assert_contained(server, attack)


@pytest.mark.parametrize(
    ("handshake", "behind"),
    [
        pytest.param(get(*WEBSOCKET), b"x", id="a-byte"),
        pytest.param(get(*WEBSOCKET), b"\x81\x85\0\0\0\0hello", id="a-text-frame"),
        pytest.param(get(*WEBSOCKET), b"\x88\x80\0\0\0\0", id="a-close-frame"),
        pytest.param(get(*WEBSOCKET, "Content-Length: 7"), b'{"a":1}', id="a-body"),
        pytest.param(get(*WEBSOCKET[:-1], "Sec-WebSocket-Version: 1"), b"", id="a-wrong-version"),
        pytest.param(get(*WEBSOCKET[:-2], WEBSOCKET[-1]), b"", id="no-key"),
    ],
)
def test_a_websocket_is_refused_and_its_connection_closed(
    server: Server, handshake: bytes, behind: bytes
) -> None:
    before = settled_descriptors(server)
    with connect(server) as sock:
        sock.sendall(handshake + behind)
        answer = read_until_closed(sock)  # ends by the server's close, or its time limit fails this
        assert answer.startswith(b"HTTP/1.1 40")
    wait_until(lambda: server.descriptors() <= before)
    assert fetch(f"{server.url}/healthz").status_code == 200


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="line-end"),
        pytest.param(post(body_of("second"), "second"), id="second-request"),
    ],
)
@pytest.mark.parametrize("model", ["sim-hang", "sim-silent", "sim?tps=20&tokens=100000"])
def test_a_departure_is_seen_whatever_the_client_has_sent_behind_its_request(
    server: Server, sim: Sim, model: str, behind: bytes, is_stream: bool
) -> None:
    before = settled_descriptors(server)
    with connect(server) as sock:
        body = body_of("marker:left", model=model, stream=is_stream)
        sock.sendall(post(body, f"left-{uuid.uuid4()}") + behind)
        sim.get("wait?marker=left&kind=arrival")
    stats = sim.wait_until_all_closed()
    assert (stats["requests"], stats["aborted"]) == (1, 1)
    wait_until(lambda: server.descriptors() <= before)
    server.wait_until_idle()


@pytest.mark.parametrize(
    "host", ["a..b", ".", "x" * 64, "y" * 5000], ids=["a..b", "dot", "64-letters", "5000-letters"]
)
def test_what_cannot_be_a_host_is_refused_like_any_other_name(server: Server, host: str) -> None:
    with connect(server) as sock:
        sock.sendall(get(host=host))
        assert refusal(sock) == (403, "host_not_allowed")


@pytest.mark.parametrize("target", ["http://[/x", "?"])
def test_an_address_that_cannot_be_read_is_a_bad_request(server: Server, target: str) -> None:
    with connect(server) as sock:
        sock.sendall(get(target=target))
        assert refusal(sock) == (400, "invalid_request")


def test_clients_that_hang_up_during_a_refused_upload_leave_nothing_behind(server: Server) -> None:
    before = settled_descriptors(server)
    upload = post(b"", "upload").replace(b"Content-Length: 0", b"Content-Length: 6000000")
    for number in range(50):
        with connect(server) as sock:
            sock.sendall(upload + b"x" * 100)
            if number % 2:
                assert sock.recv(12) == b"HTTP/1.1 413"
    wait_until(lambda: server.descriptors() <= before)


def test_a_goodbye_amid_several_streams_is_no_fault_of_theirs_and_ends_them_all(
    tmp_path: Path, sim: Sim
) -> None:
    """Hypercorn closes the connection at that, whoever is sending; every request is told.

    A server with a grace that no test waits out shows it: it goes at once.
    """
    with running(tmp_path, sim, grace=90) as server:
        before = settled_descriptors(server)
        for number in range(20):
            with connect(server) as sock:
                client = H2Client(sock, stream_window=WINDOW)
                for stream in range(5):
                    body = body_of("x", model="sim?tps=0&tokens=1000000")
                    client.post(body, f"bye-{number}-{stream}")
                for _ in range(number):
                    client.read_once()
                client.say_goodbye()
                read_until_closed(sock)
        sim.wait_until_all_closed()
        server.wait_until_idle()
        wait_until(lambda: server.descriptors() <= before)
        assert not crashes(server)
        server.process.terminate()
        assert server.process.wait(30) == 0


def test_random_bytes_and_departures_leave_nothing_behind(server: Server, sim: Sim) -> None:
    before = settled_descriptors(server)
    chance = random.Random(20)  # noqa: S311 - the same bytes each time
    for _ in range(FUZZED):
        with connect(server) as sock, contextlib.suppress(ConnectionError):
            send_and_leave(sock, mutated(chance), chance)
    assert fetch(f"{server.url}/healthz").status_code == 200
    server.wait_until_idle()
    sim.wait_until_all_closed()
    wait_until(lambda: server.descriptors() <= before)


def mutated(chance: random.Random) -> bytes:
    """Return a request, or two, with some bytes replaced, taken out, put in or cut off."""
    body = body_of("x", stream=chance.random() < 0.7, max_tokens=chance.choice([1, 20]))
    whole = post(body, chance.choice("abc"))
    head = whole[: -len(body)]
    chunked = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
    piece = b"%x\r\n%s\r\n" % (len(body), body)
    requests = [
        whole,
        get(target=chance.choice(["/healthz", "/nowhere", "/v1/models", "/metrics"])),
        whole.replace(b"devkey", b"wrong"),
        whole.replace(b"HTTP/1.1", b"HTTP/1.0"),
        whole.replace(b"Host:", b"Expect: 100-continue\r\nHost:"),
        re.sub(rb"Content-Length: \d+", b"Content-Length: 6000000", whole),
        chunked + piece + b"0\r\n\r\n",
        chunked + piece + chance.choice([b"zz\r\n", b"-1\r\n", b"", b"0\r\nx"]),
    ]
    data = bytearray(chance.choice(requests))
    if chance.random() < 0.3:
        data += chance.choice([b"\r\n", b"\0\xff", b"GET", *requests])
    for _ in range(chance.choice([0, 0, 1, 3, 8])):
        position = chance.randrange(len(data))
        stretch = chance.choice([b"", bytes([chance.randrange(256)]), chance.randbytes(5)])
        data[position : position + chance.choice([0, 1, 5])] = stretch
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


def send_and_leave(sock: socket.socket, data: bytes, chance: random.Random) -> None:
    """Send in one or two pieces, perhaps wait for an answer, and go one way or another."""
    cut = chance.choice([0, chance.randrange(len(data) + 1)])
    for piece in filter(None, [data[:cut], data[cut:]]):
        sock.sendall(piece)
    if chance.random() < 0.5:
        sock.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            sock.recv(65_536)
        sock.settimeout(30)
    match chance.randrange(3):
        case 0:
            sock.shutdown(socket.SHUT_WR)
            read_until_closed(sock)
        case 1:
            reset(sock)
