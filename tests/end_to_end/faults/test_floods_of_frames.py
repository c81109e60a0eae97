"""HTTP/2 clients that flood: they get bounded memory and a fair share, and harm nobody else."""

import contextlib
import struct
from collections.abc import Iterator

import pytest

from tests.end_to_end.faults.flood_clients import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HELLO,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    UNKNOWN,
    WINDOW_UPDATE,
    Flood,
    frame,
    frames_of,
    head,
    resident_megabytes,
)
from tests.end_to_end.faults.raw_clients import (
    WINDOW,
    H2Client,
    body_of,
    connect,
    post,
    read_until,
    read_until_closed,
)
from tests.end_to_end.processes import Server, Sim, running_server, settled_descriptors, wait_until

CHAT = "/v1/chat/completions"
FLOODS = 3
GROWTH_MEGABYTES = 40
"""What several floods one after the other may leave; one that is not bounded takes hundreds."""

CANCEL = b"\0\0\0\x08"
ENHANCE_YOUR_CALM = 11
RESETS = 5000
OPEN = HELLO + frame(HEADERS, END_HEADERS, 1, head(CHAT, key=True))
BLOCK = head()
PINGS = frame(PING, payload=b"x" * 8) * 1000
SETTINGS_AGAIN = frame(SETTINGS, payload=b"\0\4\0\1\0\0") * 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("frames")
    with running_server(path, shared_sim.upstream("openai"), log_level="info") as server:
        for _ in range(3):
            ask(server)
        yield server


def ask(server: Server) -> bytes:
    """Return a streamed answer, whole; it takes 0.3 s of a server that does nothing else."""
    with connect(server) as sock:
        sock.sendall(post(body_of("x", model="sim?tps=100&tokens=30"), "healthy"))
        return read_until(sock, b"[DONE]")


def assert_harmless(server: Server, sim: Sim, first: bytes, again: bytes) -> None:
    """A few floods at once take neither another's answer nor memory, and leave nothing."""
    before, resident = settled_descriptors(server), resident_megabytes(server)
    with contextlib.ExitStack() as floods:
        for _ in range(FLOODS):
            floods.enter_context(Flood(server, first, again))
        for _ in range(3):
            assert b"w29 " in ask(server)
        assert resident_megabytes(server) < resident + GROWTH_MEGABYTES
    assert b"w29 " in ask(server)
    sim.wait_until_all_closed()
    wait_until(lambda: server.descriptors() <= before)
    assert resident_megabytes(server) < resident + GROWTH_MEGABYTES


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param(HELLO, PINGS, id="ping"),
        pytest.param(HELLO, SETTINGS_AGAIN, id="settings"),
        pytest.param(HELLO, frame(WINDOW_UPDATE, payload=b"\0\0\0\1") * 1000, id="window"),
        pytest.param(HELLO, frame(UNKNOWN) * 1000, id="unknown"),
        pytest.param(
            HELLO,
            b"".join(
                frame(PRIORITY, 0, n, struct.pack(">IB", n - 2, 9)) for n in range(3, 1800, 2)
            ),
            id="priority",
        ),
        pytest.param(OPEN, frame(DATA, 0, 1) * 1000, id="empty-data"),
        pytest.param(
            HELLO + frame(HEADERS, 0, 1, BLOCK), frame(CONTINUATION, 0, 1) * 1000, id="continuation"
        ),
        pytest.param(
            HELLO + frame(HEADERS, 0, 1, BLOCK),
            frame(CONTINUATION, 0, 1, b"\0\1x" + b"\x7f\x81\x7e" + b"y" * 16_000),
            id="large-continuation",
        ),
        pytest.param(
            # One header of 4 KB in the compression's table, and then a byte for each time again.
            HELLO + frame(HEADERS, 0, 1, b"\x40\1x\x7f\xa1\x1e" + b"y" * 4000),
            frame(CONTINUATION, END_HEADERS, 1, b"\xbe" * 16_000),
            id="compressed-headers",
        ),
    ],
)
def test_a_flood_of_frames_is_in_nobodys_way(
    server: Server, sim: Sim, first: bytes, again: bytes
) -> None:
    assert_harmless(server, sim, first, again)


@pytest.mark.parametrize("again", [PINGS, SETTINGS_AGAIN], ids=["ping", "settings"])
def test_who_does_not_read_the_answers_to_a_flood_is_read_no_more(
    server: Server, again: bytes
) -> None:
    resident = resident_megabytes(server)
    with Flood(server, HELLO, again, reads=False) as flood:
        counts = [0]

        def stands_still() -> bool:
            counts.append(flood.sent)
            return len(set(counts[-50:])) == 1 and len(counts) > 50

        wait_until(stands_still)
        assert resident_megabytes(server) < resident + GROWTH_MEGABYTES
        assert b"w29 " in ask(server)


def test_a_flood_gets_a_read_at_a_time(server: Server) -> None:
    """What it gets handled while another is answered is counted by its pings' answers.

    It gets more where we wait for our turn to read an answer; that is not so each time.
    """
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    received = []
    with Flood(server, HELLO, PINGS) as flood, connect(server) as sock:
        for _ in range(45):
            before = flood.received
            sock.sendall(request)
            read_until(sock, b"}")
            received.append(flood.received - before)
    assert sorted(received[5:])[10] < 60_000, received


def resets(count: int, *, key: bool) -> bytes:
    block, body = head(CHAT if key else "/healthz", key=key), body_of("x", model="sim-hang")
    pieces = [HELLO]
    for stream in range(1, 2 * count, 2):
        if key:
            pieces += [frame(HEADERS, END_HEADERS, stream, block)]
            pieces += [frame(DATA, END_STREAM, stream, body)]
        else:
            pieces += [frame(HEADERS, END_HEADERS | END_STREAM, stream, block)]
        pieces += [frame(RST_STREAM, 0, stream, CANCEL)]
    return b"".join(pieces)


@pytest.mark.parametrize("key", [True, False], ids=["with-key", "without-key"])
def test_a_flood_of_resets_is_in_nobodys_way_and_leaves_nothing(
    server: Server, sim: Sim, key: bool
) -> None:
    assert_harmless(server, sim, b"", resets(RESETS, key=key))
    server.wait_until_idle()


def test_a_connection_may_reset_a_thousand_streams_but_not_on_and_on(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(resets(1000, key=False) + frame(PING, payload=b"still on"))
        received = read_until(sock, b"still on")
        assert GOAWAY not in {kind for kind, _ in frames_of(received)}
        more = resets(2000, key=False).removeprefix(HELLO)
        sock.sendall(more[len(more) // 2 :])
        last = dict(frames_of(received + read_until_closed(sock)))
    assert int.from_bytes(last[GOAWAY][4:8]) == ENHANCE_YOUR_CALM


def test_an_answer_goes_on_whatever_number_of_requests_its_connection_has(
    server: Server, sim: Sim
) -> None:
    with connect(server) as sock:
        client = H2Client(sock, stream_window=WINDOW)
        answer = client.post(body_of("x", model="sim?tps=20&tokens=100000"), "long")
        for _ in range(1100):
            stream = client.open(
                [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")]
            )
            client.send(stream, b"", end_stream=True)
            while stream not in client.ended:
                client.read_once()
        length = len(client.data[answer])
        while len(client.data[answer]) == length:
            client.read_once()
    sim.wait_until_all_closed()
