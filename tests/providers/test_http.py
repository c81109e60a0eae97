"""The transport, on real sockets: what any server may do to us, and leaving at any instant."""

import os
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx
import pytest
import trio
import trio.testing
import trustme

from jarvis_trio.providers import http_body
from jarvis_trio.providers.http import HttpClient
from jarvis_trio.providers.http_body import ResponseBody
from tests.providers.raw_server import (
    Handler,
    RawPeer,
    RawServer,
    answering,
    answering_and_staying,
    cancelled_after,
    open_files,
    raw_server,
    sockets_to,
    unaccepting_port,
)

pytestmark = pytest.mark.usefixtures("nothing_left_open")

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n"
)
UNSIZED = OK + b"\r\nhello"
BIG = bytes(range(256)) * 40_000
"""About 10 MB: more than the kernel's buffers of one connection hold."""


class Got(NamedTuple):
    """A whole answer."""

    status: int
    content: bytes
    body: ResponseBody


def client(
    url: str, tls: ssl.SSLContext | None = None, *, connect: float = float("inf")
) -> HttpClient:
    return HttpClient(httpx.URL(url), {"X-Own": "1"}, connect, ssl_context=tls)


@asynccontextmanager
async def opened(ours: HttpClient, content: bytes | None = None) -> AsyncIterator[ResponseBody]:
    body = await (ours.get("") if content is None else ours.post("", content))
    try:
        yield body
    finally:
        body.close()


async def whole(ours: HttpClient, content: bytes | None = None) -> Got:
    async with opened(ours, content) as body:
        return Got(body.status, await body.read_whole(), body)


async def fetch(handler: Handler) -> Got:
    with trio.fail_after(10):
        async with raw_server(handler) as server:
            got = await whole(client(server.url))
            assert sockets_to(server.port) == 0
            return got


@asynccontextmanager
async def streaming(handler: Handler) -> AsyncIterator[tuple[RawServer, ResponseBody]]:
    with trio.fail_after(10):
        async with raw_server(handler) as server, opened(client(server.url)) as body:
            yield server, body


class TestReading:
    """What servers answer."""

    @pytest.mark.parametrize("answer", [SIZED, CHUNKED, UNSIZED], ids=["sized", "chunked", "eof"])
    async def test_a_body_is_read_however_its_end_is_marked(self, answer: bytes) -> None:
        got = await fetch(answering(answer))
        assert (got.status, got.content) == (200, b"hello")

    @pytest.mark.parametrize("answer", [SIZED, CHUNKED], ids=["sized", "chunked"])
    async def test_a_server_that_keeps_the_connection_is_not_waited_for(
        self, answer: bytes
    ) -> None:
        got = await fetch(answering_and_staying(answer))
        assert got.content == b"hello"

    @pytest.mark.parametrize("answer", [SIZED, CHUNKED, UNSIZED], ids=["sized", "chunked", "eof"])
    async def test_an_answer_split_at_any_byte_is_the_same_answer(self, answer: bytes) -> None:
        splits = iter([(answer[:at], answer[at:]) for at in range(1, len(answer))])

        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(*next(splits))

        with trio.fail_after(20):
            async with raw_server(handler) as server:
                for _ in range(1, len(answer)):
                    got = await whole(client(server.url))
                    assert (got.status, got.content) == (200, b"hello")

    async def test_an_answer_that_comes_byte_by_byte_is_the_same_answer(self) -> None:
        answer = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED
        got = await fetch(answering(*[bytes([byte]) for byte in answer]))
        assert got.content == b"hello"

    async def test_interim_answers_are_passed_over(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
        got = await fetch(answering(interim + OK + b"X-Own: 1\r\n\r\nhello"))
        assert (got.status, got.content) == (200, b"hello")
        assert got.body.header(b"x-own") == b"1"
        assert got.body.header(b"link") == b""

    async def test_a_length_in_an_interim_answer_is_not_that_of_the_answer(self) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n"
        assert (await fetch(answering(interim, UNSIZED))).content == b"hello"

    @pytest.mark.parametrize("status", [204, 304])
    async def test_an_answer_without_a_body_ends_with_its_head(self, status: int) -> None:
        head = b"HTTP/1.1 %d Nothing\r\nETag: x\r\n\r\n" % status
        got = await fetch(answering_and_staying(head))
        assert (got.status, got.content) == (status, b"")

    async def test_an_answer_of_no_bytes_ends_with_its_head(self) -> None:
        got = await fetch(answering_and_staying(OK + b"Content-Length: 0\r\n\r\n"))
        assert got.content == b""

    @pytest.mark.parametrize(
        "behind",
        [b"what is this", b"HTTP/1.1 500 Oh\r\nX-Own: 2\r\nContent-Length: 3\r\n\r\nbad"],
        ids=["noise", "another answer"],
    )
    @pytest.mark.parametrize("answer", [SIZED, CHUNKED], ids=["sized", "chunked"])
    async def test_what_follows_the_body_is_nobodys_business(
        self, answer: bytes, behind: bytes
    ) -> None:
        answer = answer.replace(b"200 OK\r\n", b"200 OK\r\nX-Own: 1\r\n")
        got = await fetch(answering(answer + behind))
        assert (got.status, got.content) == (200, b"hello")
        assert got.body.header(b"x-own") == b"1"

    async def test_trailers_are_not_headers(self) -> None:
        assert (await fetch(answering(CHUNKED))).body.header(b"a") == b""

    async def test_a_large_body_arrives_whole(self) -> None:
        head = OK + b"Content-Length: %d\r\n\r\n" % len(BIG)
        assert (await fetch(answering(head + BIG))).content == BIG

    async def test_a_large_chunked_body_arrives_whole(self) -> None:
        pieces = [BIG[at : at + 99_991] for at in range(0, len(BIG), 99_991)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        assert (await fetch(answering(head + body + b"0\r\n\r\n"))).content == BIG

    async def test_status_and_headers_are_read(self) -> None:
        head = b"HTTP/1.1 418 I'm a teapot\r\nX-A:  spaced \r\nx-a: again\r\nX-Empty:\r\n"
        got = await fetch(answering(head + b"Content-Length: 0\r\n\r\n"))
        assert got.status == 418
        assert got.body.header(b"x-a") == b"spaced, again"
        assert got.body.header(b"x-empty") == b""

    async def test_an_answer_of_http_1_0_is_read(self) -> None:
        assert (await fetch(answering(b"HTTP/1.0 200 OK\r\n\r\nhello"))).content == b"hello"

    async def test_a_body_is_read_as_it_arrives(self) -> None:
        first_is_read = trio.Event()

        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
            await first_is_read.wait()
            await peer.send(b"4\r\ntwo\n\r\n0\r\n\r\n")

        async with streaming(handler) as (_, body):
            assert await body.receive() == b"one\n"
            first_is_read.set()
            assert await body.receive() == b"two\n"
            assert await body.receive() == b""

    async def test_a_read_hands_over_all_that_has_arrived(self) -> None:
        async with streaming(answering(CHUNKED)) as (_, body):
            assert [await body.receive(), await body.receive()] == [b"hello", b""]

    async def test_a_body_that_is_complete_has_no_connection_any_more(self) -> None:
        async with streaming(answering_and_staying(CHUNKED)) as (server, body):
            assert await body.receive() == b"hello"
            assert sockets_to(server.port) == 0
            await server.wait_handled(1)

    async def test_leaving_a_body_unread_closes_it(self) -> None:
        async with raw_server(answering_and_staying(OK + b"\r\nhel")) as server:
            with trio.fail_after(10):
                async with opened(client(server.url)):
                    assert sockets_to(server.port) == 1
                assert sockets_to(server.port) == 0
                await server.wait_handled(1)

    async def test_closing_twice_is_the_same_as_once(self) -> None:
        async with streaming(answering_and_staying(UNSIZED)) as (server, body):
            body.close()
            assert sockets_to(server.port) == 0
            body.close()
            await server.wait_handled(1)

    async def test_being_woken_for_nothing_is_no_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(OK + b"\r\n")
            await head_is_read.wait()
            await peer.send(b"hello")

        def read_nothing(descriptor: int, size: int) -> bytes:
            monkeypatch.undo()
            raise BlockingIOError

        head_is_read = trio.Event()
        async with streaming(handler) as (_, body):
            head_is_read.set()
            monkeypatch.setattr(os, "read", read_nothing)
            assert await body.receive() == b"hello"
            assert os.read is not read_nothing

    async def test_a_body_that_was_closed_cannot_be_read(self) -> None:
        async with streaming(answering_and_staying(OK + b"\r\n")) as (_, body):
            body.close()
            with pytest.raises(httpx.ReadError, match="already closed"):
                await body.receive()


class TestSending:
    """What servers hear."""

    async def test_a_request_goes_out_whole_and_says_that_it_is_the_last(self) -> None:
        requests = []

        async def handler(peer: RawPeer) -> None:
            requests.append(await peer.read_request())
            await peer.send(SIZED)

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                ours = client(f"{server.url}/a%20b/ü/")
                (await ours.post("c?q=1&r=%26", b"{}\r\n")).close()
                (await ours.get("d")).close()
        head, _, body = requests[0].partition(b"\r\n\r\n")
        line, *headers = head.split(b"\r\n")
        assert line == b"POST /a%20b/%C3%BC/c?q=1&r=%26 HTTP/1.1"
        assert body == b"{}\r\n"
        assert b"Host: 127.0.0.1:%d" % server.port in headers
        assert b"X-Own: 1" in headers
        assert b"Content-Type: application/json" in headers
        assert b"Content-Length: 4" in headers
        assert [h for h in headers if h.lower().startswith(b"connection")] == [b"Connection: close"]
        line, *headers = requests[1].removesuffix(b"\r\n\r\n").split(b"\r\n")
        assert line == b"GET /a%20b/%C3%BC/d HTTP/1.1"
        assert sorted(headers) == [
            b"Connection: close",
            b"Host: 127.0.0.1:%d" % server.port,
            b"X-Own: 1",
        ]

    async def test_a_large_body_is_sent_whole(self) -> None:
        async def handler(peer: RawPeer) -> None:
            request = await peer.read_request()
            right = request.endswith(b"\r\n\r\n" + BIG)
            await peer.send(SIZED if right else SIZED.replace(b"hello", b"wrong"))

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                got = await whole(client(server.url), BIG)
        assert got.content == b"hello"

    @pytest.mark.parametrize("then", ["stays", "closes", "resets"])
    async def test_an_answer_that_comes_before_the_request_is_read_is_heard(
        self, then: str
    ) -> None:
        refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello"

        async def handler(peer: RawPeer) -> None:
            await peer.read_head()
            if then == "resets":
                # Both in one step: the client learns of them together.
                os.write(peer.tcp.socket.fileno(), refusal)
                peer.reset()
                return
            await peer.send(refusal)
            if then == "stays":
                await done.wait()

        done = trio.Event()
        with trio.fail_after(10):
            async with raw_server(handler) as server:
                # Which of the two is noticed first is up to chance.
                for _ in range(10):
                    got = await whole(client(server.url), BIG)
                    assert (got.status, got.content) == (413, b"hello")
                done.set()

    async def test_a_200_that_comes_early_does_not_stop_the_request(self) -> None:
        async def handler(peer: RawPeer) -> None:
            seen = len(await peer.read_head())
            await peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            while seen < len(BIG):
                seen += len(await peer.stream.receive_some())
            await peer.send(b"5\r\nhello\r\n0\r\n\r\n")

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                assert (await whole(client(server.url), BIG)).content == b"hello"

    @pytest.mark.parametrize("value", ["secret\r\nX-Injected: 1", "secret\n", "secret\0"])
    def test_a_header_that_would_become_two_is_not_sent(self, value: str) -> None:
        with pytest.raises(httpx.LocalProtocolError) as caught:
            HttpClient(httpx.URL("http://127.0.0.1:1"), {"X-Own": value}, 1)
        assert "secret" not in str(caught.value)


class TestFaults:
    """What servers do wrong."""

    async def test_nobody_listens(self) -> None:
        with socket.socket() as holder, trio.fail_after(10), pytest.raises(httpx.ConnectError):
            holder.bind(("127.0.0.1", 0))
            await whole(client(f"http://127.0.0.1:{holder.getsockname()[1]}"))

    async def test_a_name_that_is_nobodys(self) -> None:
        class Nobody(trio.abc.HostnameResolver):
            async def getaddrinfo(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
                await trio.lowlevel.checkpoint()
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

            async def getnameinfo(self, *_: object) -> tuple[str, str]:
                raise NotImplementedError

        trio.socket.set_custom_hostname_resolver(Nobody())
        with trio.fail_after(10), pytest.raises(httpx.ConnectError, match="not known"):
            await whole(client("http://nobody.invalid:1"))

    @pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a" * 300])
    async def test_a_name_that_cannot_be_a_name(self, host: str) -> None:
        with trio.fail_after(10), pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
            await whole(client(f"http://{host}:1"))

    async def test_a_connection_that_is_not_taken_times_out(self) -> None:
        with (
            unaccepting_port() as port,
            trio.fail_after(10),
            pytest.raises(httpx.ConnectTimeout),
        ):
            await whole(client(f"http://127.0.0.1:{port}", connect=0.05))

    async def test_a_handshake_that_is_not_answered_times_out(self) -> None:
        async with raw_server(RawPeer.see_close) as server:
            with trio.fail_after(10):
                with pytest.raises(httpx.ConnectTimeout):
                    await whole(client(server.url.replace("http", "https"), connect=0.05))
                await server.wait_handled(1)

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", OK + b"A: b"], ids=["none", "line", "h"])
    @pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
    async def test_a_connection_that_ends_before_the_head_does(
        self, sent: bytes, resets: bool
    ) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(sent)
            if resets:
                peer.reset()

        with pytest.raises(httpx.ReadError if resets else httpx.RemoteProtocolError):
            await fetch(handler)

    async def test_a_server_that_resets_without_reading(self) -> None:
        async def handler(peer: RawPeer) -> None:
            await trio.lowlevel.checkpoint()
            peer.reset()

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                for size in [0, len(BIG)] * 10:
                    # When sending has met the reset, reading meets a plain end.
                    with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
                        await whole(client(server.url), BIG[:size])

    @pytest.mark.parametrize("answer", [SIZED, CHUNKED], ids=["sized", "chunked"])
    async def test_a_body_cut_off_at_any_byte_is_an_error_behind_what_arrived(
        self, answer: bytes
    ) -> None:
        start = answer.index(b"\r\n\r\n") + 4
        cuts = iter(range(start, len(answer)))

        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(answer[: next(cuts)])

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                for _ in range(start, len(answer)):
                    got = b""
                    with pytest.raises(httpx.RemoteProtocolError, match="cut off"):
                        async with opened(client(server.url)) as body:
                            while data := await body.receive():
                                got += data
                    assert b"hello".startswith(got)
                    assert sockets_to(server.port) == 0

    @pytest.mark.parametrize("answer", [SIZED, CHUNKED, UNSIZED], ids=["sized", "chunked", "eof"])
    async def test_a_reset_inside_the_body_is_an_error_behind_what_arrived(
        self, answer: bytes
    ) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(answer[: answer.index(b"hel") + 3])
            peer.reset()

        async with streaming(handler) as (server, body):
            assert await body.receive() == b"hel"
            with pytest.raises(httpx.ReadError):
                await body.receive()
            assert sockets_to(server.port) == 0

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\0\1\2\3" * 100,
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"<html>no\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            OK + b"no colon here\r\n\r\n",
            OK + b"Content-Length: many\r\n\r\n",
            OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
            OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI",
        ],
    )
    async def test_what_is_not_an_answer_is_a_protocol_error(self, garbage: bytes) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await fetch(answering(garbage))

    async def test_an_offer_to_upgrade_is_ignored(self) -> None:
        offer = b"Connection: Upgrade\r\nUpgrade: h2,h2c\r\n"
        answer = SIZED.replace(b"200 OK\r\n", b"200 OK\r\n" + offer)
        assert (await fetch(answering(answer))).content == b"hello"

    @pytest.mark.parametrize("together", [True, False])
    async def test_what_came_before_a_broken_chunk_is_handed_out_first(
        self, together: bool
    ) -> None:
        head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        pieces = [head, b"5\r\nhello\r\n", b"no chunk\r\n"]
        pieces = [b"".join(pieces)] if together else pieces
        async with streaming(answering_and_staying(*pieces)) as (server, body):
            assert await body.receive() == b"hello"
            for _ in range(2):
                with pytest.raises(httpx.RemoteProtocolError, match="not HTTP"):
                    await body.receive()
                assert sockets_to(server.port) == 0

    @pytest.mark.parametrize(
        ("opening", "drop"),
        [
            (OK, b"X: y\r\n" * 1000),
            (OK + b"X: ", b"x" * 8192),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1000),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 8192),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=", b"x" * 8192),
        ],
        ids=["headers", "one header", "interim", "trailers", "one trailer", "chunk extension"],
    )
    async def test_what_never_comes_to_a_body_is_refused(self, opening: bytes, drop: bytes) -> None:
        sent = 0

        async def handler(peer: RawPeer) -> None:
            nonlocal sent
            await peer.read_request()
            await peer.send(opening)
            while True:
                await peer.send(drop)
                sent += len(drop)

        with pytest.raises(httpx.RemoteProtocolError, match="too large"):
            await fetch(handler)
        # What the kernel's buffers hold, and no more.
        assert sent < 16 * 1024 * 1024

    async def test_many_small_chunks_are_not_too_large(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_body, "MAX_HEAD_BYTES", 0)
        monkeypatch.setattr(http_body, "RECEIVE_BYTES", 64)
        pieces = [b"1\r\n", b"x\r\n"] * 200
        head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        assert (await fetch(answering(head, *pieces, b"0\r\n\r\n"))).content == b"x" * 200

    async def test_a_body_that_is_read_whole_has_a_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_body, "MAX_BUFFERED_BODY_BYTES", 4)
        async with streaming(answering(SIZED)) as (_, body):
            with pytest.raises(httpx.RemoteProtocolError, match="too large"):
                await body.read_whole()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TestTLS:
    """Who a server is."""

    @pytest.mark.parametrize("answer", [SIZED, CHUNKED, UNSIZED], ids=["sized", "chunked", "eof"])
    async def test_a_server_that_is_known_answers(
        self, authority: trustme.CA, answer: bytes
    ) -> None:
        tls = server_side(authority, "127.0.0.1")
        with trio.fail_after(10):
            async with (
                raw_server(answering(answer), tls) as server,
            ):
                got = await whole(client(server.url, client_side(authority)), BIG)
                assert got.content == b"hello"
                assert sockets_to(server.port) == 0

    @pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.invalid"])
    async def test_a_server_that_is_not_known_is_sent_nothing(
        self, authority: trustme.CA, name: str
    ) -> None:
        known = name != "127.0.0.1"
        tls = server_side(authority, name)
        trusted = authority if known else trustme.CA()
        heard = []

        async def handler(peer: RawPeer) -> None:
            heard.append(await peer.read_request())

        with trio.fail_after(10):
            async with raw_server(handler, tls) as server:
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await whole(client(server.url, client_side(trusted)))
                assert sockets_to(server.port) == 0
                await server.wait_handled(1)
        assert heard == []

    async def test_a_server_that_does_not_speak_tls(self) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.tcp.receive_some()
            await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await peer.see_close()

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                with pytest.raises(httpx.ConnectError):
                    await whole(client(server.url.replace("http", "https")))
                await server.wait_handled(1)

    async def test_a_refusal_before_the_request_is_read_is_heard(
        self, authority: trustme.CA
    ) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_head()
            await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello")
            await done.wait()

        done = trio.Event()
        tls = server_side(authority, "127.0.0.1")
        with trio.fail_after(10):
            async with raw_server(handler, tls) as server:
                got = await whole(client(server.url, client_side(authority)), BIG)
                assert (got.status, got.content) == (413, b"hello")
                assert sockets_to(server.port) == 0
                done.set()

    async def test_leaving_closes_without_a_farewell(self, authority: trustme.CA) -> None:
        tls = server_side(authority, "127.0.0.1")
        with trio.fail_after(10):
            async with (
                raw_server(answering_and_staying(UNSIZED), tls) as server,
            ):
                async with opened(client(server.url, client_side(authority))) as body:
                    assert await body.receive() == b"hello"
                    body.close()
                    assert sockets_to(server.port) == 0
                await server.wait_handled(1)


class Stage:
    """A server that brings the client to one stage, says so, and waits for it to leave."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.reached = trio.Event()

    async def handler(self, peer: RawPeer) -> None:
        if self.stage == "handshaking":
            assert await peer.tcp.receive_some()
        elif self.stage == "sending":
            await peer.read_head()
        else:
            await peer.read_request()
            await peer.send(
                {"waiting": b"", "in the head": b"HTTP/1.1 200 OK\r\nA"}.get(
                    self.stage, OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2"
                )
            )
        await trio.testing.wait_all_tasks_blocked()
        self.reached.set()
        await peer.see_close()


class TestLeaving:
    """Cancelled, or just gone."""

    @pytest.mark.parametrize(
        "stage", ["handshaking", "sending", "waiting", "in the head", "in the body", "entered"]
    )
    async def test_the_server_sees_a_cancel_at_once(self, stage: str) -> None:
        there = Stage(stage)
        entered = False

        async def ask(server: RawServer, scope: trio.CancelScope) -> None:
            nonlocal entered
            url = server.url.replace("http", "https") if stage == "handshaking" else server.url
            content = BIG if stage == "sending" else b"{}"
            with scope:
                async with opened(client(url), content) as body:
                    entered = True
                    while stage == "in the body":
                        await body.receive()
                    await trio.sleep_forever()
            # Nothing was awaited since the cancel arrived here.
            assert sockets_to(server.port) == 0

        with trio.fail_after(10):
            async with raw_server(there.handler) as server, trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(ask, server, scope)
                await there.reached.wait()
                assert sockets_to(server.port) == 1
                assert entered == (stage in {"in the body", "entered"})
                scope.cancel(reason="test")
                await server.wait_handled(1)

    async def test_a_cancel_while_connecting_leaves_no_socket(self) -> None:
        with unaccepting_port() as port, trio.fail_after(10):
            before = open_files()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client(f"http://127.0.0.1:{port}").get, "")
                await trio.testing.wait_all_tasks_blocked()
                assert open_files() == before + 1
                nursery.cancel_scope.cancel(reason="test")
            assert open_files() == before

    async def test_a_cancel_in_any_await_leaves_no_socket(self, authority: trustme.CA) -> None:
        tls = server_side(authority, "127.0.0.1")
        pieces = (OK + b"Transfer-Encoding: chunked\r\n", b"\r\n5\r\nhel", b"lo\r\n", b"0\r\n\r\n")
        for secure in (None, tls):
            async with raw_server(answering_and_staying(*pieces), secure) as server:
                ours = client(server.url, client_side(authority))
                steps = 0
                answered = False
                while not answered:
                    steps += 1
                    with trio.fail_after(10), cancelled_after(steps):
                        answered = (await whole(ours)).content == b"hello"
                    assert sockets_to(server.port) == 0
                assert steps > 4
                with trio.fail_after(10):
                    await server.wait_handled(server.accepted)

    async def test_no_number_of_cancels_wedges_the_client(self) -> None:
        chance = random.Random(1093)  # noqa: S311 - chance, not secrecy

        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                await peer.send(b"5\r\nhello\r\n")
                await trio.sleep(0.0005)
            await peer.send(b"0\r\n\r\n")

        ends = {"answered": 0, "cancelled": 0}

        async def ask(ours: HttpClient) -> None:
            for _ in range(25):
                with trio.move_on_after(chance.uniform(0, 0.04)) as scope:
                    assert (await whole(ours)).content == b"hello" * 20
                ends["cancelled" if scope.cancelled_caught else "answered"] += 1

        with trio.fail_after(30):
            async with raw_server(handler) as server:
                ours = client(server.url)
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(ask, ours)
                assert sockets_to(server.port) == 0
                assert (await whole(ours)).content == b"hello" * 20
                assert sockets_to(server.port) == 0
        assert sum(ends.values()) == 500
        assert ends["cancelled"] > 100
