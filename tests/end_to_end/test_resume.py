"""Re-attaching after real cuts: at every event of an answer, and within events."""

import re
import socket
import struct
from collections.abc import Iterator
from itertools import count, product
from urllib.parse import urlsplit

import httptools
import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.processes import Server, running_server

PROMPT = "What is 2+2?"
BODY = b'{"prompt":"What is 2+2?","stream":true}'
WITHIN = (0, 1, 7, 60)
"""Bytes of the next event that a client has had besides whole ones."""

AT_ONCE = 30
EVERYTHING = 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers take half a second, with a frame for nearly each token."""
    upstream = "simulated:?tokens_per_second=50&first_token_ms=20&length=25"
    path = tmp_path_factory.mktemp("resume")
    with running_server(path, upstream, flush_window_ms="1") as server:
        yield server


def events(body: bytes) -> list[bytes]:
    """Return the whole events."""
    return re.findall(rb".*?\n\n", body, re.DOTALL)


def without_ids(body: bytes) -> bytes:
    return re.sub(rb"^id: \d+\n", b"", body, flags=re.MULTILINE)


class Connection:
    """One request on a connection of its own, which is cut after any byte of its answer."""

    def __init__(self, server: Server) -> None:
        self._address = urlsplit(server.url)
        self._parser = httptools.HttpResponseParser(self)
        self._has_begun = False
        self.stream_id = ""
        self.body = b""
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-stream-id":
            self.stream_id = value.decode()

    def on_headers_complete(self) -> None:
        assert self._parser.get_status_code() == 200
        self._has_begun = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = True

    async def read(self, request: bytes, whole: int, more: int, *, resets: bool) -> list[bytes]:
        """Read so many whole events and ``more`` bytes, or all, and cut; return the whole ones."""
        address = self._address
        async with await trio.open_tcp_stream(address.hostname or "", address.port or 0) as stream:
            if resets:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.send_all(request)
            while not self.is_complete and not self._has_had(whole, more):
                data = await stream.receive_some()
                assert data, self.body
                self._parser.feed_data(data)
        return events(self.body)[:whole]

    def _has_had(self, whole: int, more: int) -> bool:
        had = events(self.body)[:whole]
        return self._has_begun and len(had) == whole and len(self.body) >= sum(map(len, had)) + more


def post() -> bytes:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer devkey\r\n"
        f"X-On-Disconnect: continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


def get(stream_id: str, after: int, *, by_header: bool = False) -> bytes:
    query, header = ("", f"Last-Event-ID: {after}\r\n") if by_header else (f"?after={after}", "")
    head = f"GET /v1/streams/{stream_id}{query} HTTP/1.1\r\nHost: localhost\r\n{header}"
    return f"{head}Authorization: Bearer devkey\r\n\r\n".encode()


async def cut_and_resume(server: Server, cuts: Iterator[tuple[int, int, bool, bool]]) -> bytes:
    """Ask, and come back after each of the ``cuts`` until the end; return the joined answer."""
    whole, more, resets, by_header = next(cuts)
    connection = Connection(server)
    had = await connection.read(post(), whole, more, resets=resets)
    stream_id = connection.stream_id
    while had[-1:] != [b"data: [DONE]\n\n"]:
        whole, more, resets, by_header = next(cuts)
        connection = Connection(server)
        request = get(stream_id, len(had), by_header=by_header)
        got = await connection.read(request, whole, more, resets=resets)
        ids = [int(event.split(b"\n")[0].removeprefix(b"id: ")) for event in got]
        assert ids == list(range(len(had) + 1, len(had) + 1 + len(got)))
        had += [without_ids(event) for event in got]
    connection = Connection(server)
    uncut = await connection.read(get(stream_id, 0), EVERYTHING, 0, resets=False)
    assert b"".join(had) == without_ids(b"".join(uncut))
    return b"".join(had)


def assert_uncut(joined: bytes, text: str) -> None:
    exchange = Exchange()
    exchange.status, exchange.raw = 200, joined
    assert exchange.text == text
    assert exchange.is_complete


async def test_cut_at_every_event_and_resumed_an_answer_is_the_same_byte_for_byte(
    server: Server,
) -> None:
    uncut = await prompt(server.url, PROMPT)
    cuts = list(product(range(len(events(uncut.raw)) + 1), WITHIN))
    assert len(cuts) > 60
    left = iter(enumerate(cuts))

    async def play() -> None:
        for number, (whole, more) in left:
            resets, by_header = number % 2 == 0, number % 3 == 0
            rest = (EVERYTHING, 0, False, by_header)
            joined = await cut_and_resume(server, iter([(whole, more, resets, by_header), rest]))
            assert_uncut(joined, uncut.text)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(play)
    server.wait_until_idle()


@pytest.mark.parametrize("step", [0, 1, 2])
async def test_cut_again_and_again_it_is_the_same_too(server: Server, step: int) -> None:
    """Each connection brings ``step`` events and a piece of the next; 0 takes one now and then."""
    uncut = await prompt(server.url, PROMPT)
    cuts = ((step or n % 3 // 2, WITHIN[n % len(WITHIN)], n % 2 == 0, n % 5 < 2) for n in count())
    with trio.fail_after(60):
        joined = await cut_and_resume(server, cuts)
    assert_uncut(joined, uncut.text)
    server.wait_until_idle()
