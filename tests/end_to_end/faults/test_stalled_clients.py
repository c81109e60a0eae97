"""Clients that stop reading, and slow ones that only look as if they had."""

import json
import socket
import ssl
import time
from collections.abc import Iterator

import httpx
import pytest
import trio
import trustme

from tests.end_to_end.client import prompt
from tests.end_to_end.faults.raw_clients import WINDOW, H2Client, body_of, connect, post
from tests.end_to_end.processes import KEY, Server, Sim, running_server, wait_until

FLOOD = "sim?tps=0&tokens=1000000"
"""More than the kernel's buffers, the replay buffer and Hypercorn's own will ever hold."""


STALL, PATIENT_STALL, PATIENT_SLICE = "1", "3", "4"
"""Readers that are to be served to the end are given longer than a pause of the machine."""


@pytest.fixture(scope="module", params=[STALL])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim
) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("stalled")
    with running_server(
        path,
        shared_sim.upstream("openai"),
        options=["-b", f"unix:{path / 'socket'}"],
        write_stall_timeout_s=request.param,
        log_level="info",
    ) as server:
        yield server


@pytest.fixture(params=["tcp", "unix"])
def door(request: pytest.FixtureRequest, server: Server) -> Server:
    """The server by each of the two addresses that it listens on."""
    if request.param == "tcp":
        return server
    path = server.log_path.parents[1] / "socket"
    return Server(server.process, f"unix:{path}", server.log_path)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module", params=[STALL])
def tls_server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_sim: Sim,
    authority: trustme.CA,
) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("stalled-tls")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(path / "cert.pem")
    certificate.private_key_pem.write_to_path(path / "key.pem")
    options = ["--certfile", str(path / "cert.pem"), "--keyfile", str(path / "key.pem")]
    with running_server(
        path,
        shared_sim.upstream("openai"),
        options=options,
        tls=context(authority),
        write_stall_timeout_s=request.param,
        log_level="info",
    ) as server:
        yield server


def context(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    made = ssl.create_default_context()
    authority.configure_trust(made)
    made.set_alpn_protocols(list(protocols))
    return made


def read_to_the_end(sock: socket.socket) -> bytes:
    """Read what is there until the server's close or reset."""
    received = b""
    try:
        while piece := sock.recv(65_536):
            received += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return received


def is_unix(door: Server) -> bool:
    return door.url.startswith("unix:")


def session_at(door: Server, name: str) -> str:
    """Return a session of this door's own; it is the trace of its requests too."""
    return f"{name}-unix" if is_unix(door) else name


def assert_stalled(server: Server, sim: Sim, session: str) -> None:
    """The stream has ended for its stall, and the upstream has been told."""
    server.wait_for_log("stream_end", trace=session, cause="client_stalled", cleanup_done="True")
    sim.wait_until_all_closed()
    server.wait_until_idle()


def test_a_client_that_stops_reading_is_dropped_and_its_upstream_closed(
    door: Server, sim: Sim
) -> None:
    before = door.descriptors()
    with connect(door, receive_buffer=4096) as sock:
        session = session_at(door, "stall-h1")
        sock.sendall(post(body_of("x", model=FLOOD), session))
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert_stalled(door, sim, session)
        # Also the request's own task is gone, and with it the connection; nothing was read here.
        wait_until(lambda: door.descriptors() <= before)
        assert b"[DONE]" not in read_to_the_end(sock)


def test_an_answer_that_lives_on_loses_only_the_reader_that_stalls(
    server: Server, sim: Sim
) -> None:
    request = post(body_of("x", model=FLOOD), "stall-continue")
    header = b"\r\nX-On-Disconnect: continue\r\nHost:"
    with connect(server, receive_buffer=4096) as sock:
        sock.sendall(request.replace(b"\r\nHost:", header, 1))
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        (gone,) = server.wait_for_log("stream_disconnected", trace="stall-continue")
        url = f"{server.url}/v1/streams/{gone['stream_id']}"
        receipt = httpx.post(f"{url}/cancel", headers=KEY, timeout=30, trust_env=False).json()
        assert receipt["cause"] == "stopped"
    sim.wait_until_all_closed()
    server.wait_until_idle()


def test_the_same_over_tls(tls_server: Server, sim: Sim, authority: trustme.CA) -> None:
    before = tls_server.descriptors()
    with connect(tls_server, context(authority, "http/1.1"), receive_buffer=4096) as sock:
        sock.sendall(post(body_of("x", model=FLOOD), "stall-tls"))
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert_stalled(tls_server, sim, "stall-tls")
        wait_until(lambda: tls_server.descriptors() <= before)


def test_a_whole_http2_connection_that_stalls_ends_all_its_streams(
    tls_server: Server, sim: Sim, authority: trustme.CA
) -> None:
    before = tls_server.descriptors()
    with connect(tls_server, context(authority, "h2"), receive_buffer=4096) as sock:
        client = H2Client(sock, stream_window=WINDOW)
        for number in range(3):
            client.post(body_of("x", model=FLOOD), f"stall-h2-{number}")
        for number in range(3):
            assert_stalled(tls_server, sim, f"stall-h2-{number}")
        wait_until(lambda: tls_server.descriptors() <= before)


def test_one_stalled_http2_stream_leaves_its_siblings_alone(
    tls_server: Server, sim: Sim, authority: trustme.CA
) -> None:
    """It alone has no window left: it ends; a sibling streams on, and a new one is answered."""
    with connect(tls_server, context(authority, "h2")) as sock:
        client = H2Client(sock, stream_window=65_535)
        stalled = client.post(body_of("x", model=FLOOD), "stall-one")
        sibling = client.post(body_of("x", model="sim?tps=20&tokens=60"), "sibling")
        while sibling not in client.ended:
            client.read_once()
        assert b"[DONE]" in client.data[sibling]
        assert client.data[sibling].count(b'"content":"w') > 10
        assert_stalled(tls_server, sim, "stall-one")
        assert len(client.data[stalled]) == 65_535
        while stalled not in client.reset:
            client.read_once()
        later = client.post(body_of("x", model="sim", max_tokens=2), "later")
        while later not in client.ended:
            client.read_once()
        assert b"[DONE]" in client.data[later]


def test_a_refusal_that_is_not_taken_is_given_up(tls_server: Server, authority: trustme.CA) -> None:
    """No view ever sees this request, but its answer is watched like any other."""
    with connect(tls_server, context(authority, "h2")) as sock:
        sock.settimeout(10)
        client = H2Client(sock, stream_window=0)
        unreadable = [
            (":method", "GET"),
            (":path", "http://[/x"),
            (":scheme", "https"),
            (":authority", "localhost"),
        ]
        refused = client.open(unreadable)
        client.send(refused, b"", end_stream=True)
        while refused not in client.reset:
            client.read_once()
        assert client.data[refused] == b""
        read_on = client.open(unreadable)
        client.send(read_on, b"", end_stream=True)
        client.widen(read_on, 65_535)
        while read_on not in client.ended:
            client.read_once()
        assert json.loads(client.data[read_on])["error"]["code"] == "invalid_request"
    tls_server.wait_until_idle()


async def test_a_stalled_client_delays_no_prompt_of_its_session(
    server: Server, door: Server, sim: Sim
) -> None:
    """I3: the supersede does not wait for the stall to be found, nor for the reader."""
    with connect(door, receive_buffer=4096) as sock:
        session = session_at(door, "busy")
        sock.sendall(post(body_of("marker:stalled", model=FLOOD), session))
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        await sim.wait_for("stalled", "first_byte")
        with trio.fail_after(10):
            answer = await prompt(server.url, "marker:next", session=session, model="sim")
        assert answer.is_complete
        kinds = [(event["marker"], event["kind"]) for event in sim.get("events")["events"]]
        assert kinds.index(("stalled", "closed")) < kinds.index(("next", "arrival"))
    door.wait_for_log("stream_end", trace=session, cause="superseded")


@pytest.mark.parametrize("server", [PATIENT_STALL], indirect=True, scope="module")
def test_a_slow_reader_is_served_to_the_end(door: Server, sim: Sim) -> None:
    """Single writes take longer than the stall timeout, but bytes are taken all the while.

    A kernel takes nothing more from the server until about a third of its send buffer is gone, or
    three quarters on a unix socket, whose buffer is larger; a stall that was told by the duration
    of a write alone would be found here.
    """
    slow_bytes, per_second = (300_000, 30_000) if is_unix(door) else (70_000, 5_000)
    with connect(door, receive_buffer=4096) as sock:
        session = session_at(door, "slow")
        sock.sendall(post(body_of("x", model="sim?tps=0&tokens=150000"), session))
        received = bytearray()
        while b"data: [DONE]\n\n" not in received[-100:]:
            piece = sock.recv(1024)
            assert piece, "the server closed"
            received += piece
            if len(received) < slow_bytes:
                time.sleep(len(piece) / per_second)
    assert len(received) > 1_000_000
    assert received.count(b"[DONE]") == 1
    door.wait_for_log("stream_end", trace=session, cause="completed")


@pytest.mark.parametrize("tls_server", [PATIENT_SLICE], indirect=True, scope="module")
@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_slow_http2_reader_is_served_to_the_end(
    tls_server: Server, sim: Sim, authority: trustme.CA, is_streamed: bool
) -> None:
    """The answer takes longer than any stall; what is judged is a slice of it, also the last."""
    body = body_of("x", model="sim?tps=0&tokens=24000", stream=is_streamed)
    with connect(tls_server, context(authority, "h2")) as sock:
        client = H2Client(sock, stream_window=16_384)
        stream = client.post(body, "slow-h2")
        received = 0
        while stream not in client.ended:
            client.read_once()
            if taken := len(client.data[stream]) - received:
                received += taken
                time.sleep(taken / 21_000)
                client.widen(stream, taken)
        answer = client.data[stream]
    assert len(answer) > 120_000
    if is_streamed:
        assert answer.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(answer)["choices"][0]["finish_reason"] == "stop"
