"""One request and its answer, over real sockets on this machine."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trustme

from jarvis_trio.storm.answer import read_answer
from jarvis_trio.storm.call import CALL_ERRORS, Call, Request, calling, in_words
from jarvis_trio.storm.crowd import Crowd
from jarvis_trio.storm.target import Target, read_target
from tests.storm.raw_client import SimClient

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b'{"content":"w0"}'
Serve = Callable[[trio.SocketStream], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def asking(serve: Serve) -> AsyncIterator[Call]:
    """Call a server of one connection, which is closed when ``serve`` returns."""

    async def handle(stream: trio.SocketStream) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += await stream.receive_some()
        await serve(stream)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, handle, [listener])  # noqa: ASYNC113 - it listens
            target = Target("127.0.0.1", listener.socket.getsockname()[1])
            async with calling(target, Request("GET", "/")) as call:
                yield call
            nursery.cancel_scope.cancel(reason="the test is over")


async def read_by_itself(call: Call) -> None:
    await call.rest()


async def read_in_a_crowd(call: Call) -> None:
    with Crowd() as crowd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.run)
            await crowd.rest(call)
            nursery.cancel_scope.cancel(reason="it has been read")


@pytest.fixture(params=[read_by_itself, read_in_a_crowd], ids=["by itself", "in a crowd"])
def rest(request: pytest.FixtureRequest) -> Callable[[Call], Awaitable[None]]:
    way: Callable[[Call], Awaitable[None]] = request.param
    return way


Rest = Callable[[Call], Awaitable[None]]


async def test_an_answer_is_whole_at_its_own_end_though_the_connection_stays(rest: Rest) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(HEAD + chunk(b"a") + chunk(TEXT) + b"0\r\n\r\n")
        await trio.sleep_forever()

    async with asking(serve) as call:
        await rest(call)
        assert call.is_whole
        assert call.status == 200
        assert call.body == b"a" + TEXT
        assert sum(size for _, size in call.pieces) == len(call.body)
        assert call.head_ns is not None
        assert call.first_text_ns is not None
        assert call.ended_ns is not None
        assert call.sent_ns <= call.head_ns <= call.first_text_ns <= call.ended_ns


async def test_the_first_text_is_seen_when_it_comes_in_two_pieces(rest: Rest) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(HEAD + chunk(b'{"content":""}') + chunk(b'{"cont'))
        await trio.sleep(0.05)
        await stream.send_all(chunk(b'ent":"w0"}') + b"0\r\n\r\n")

    async with asking(serve) as call:
        await rest(call)
        assert call.first_text_ns == call.pieces[-1][0]


async def test_a_connection_that_closes_early_leaves_half_an_answer(rest: Rest) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(HEAD + chunk(TEXT))

    async with asking(serve) as call:
        await rest(call)
        assert call.ended_ns is not None
        assert not call.is_whole
        assert not call.was_reset


async def test_a_reset_is_told_from_a_close(rest: Rest) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(HEAD + chunk(TEXT))
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with asking(serve) as call:
        await rest(call)
        assert call.was_reset


@pytest.mark.parametrize(
    ("head", "is_whole"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n", False),
    ],
)
async def test_an_answer_that_promises_no_length_ends_with_its_connection(
    rest: Rest, head: bytes, is_whole: bool
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(head + TEXT)

    async with asking(serve) as call:
        await rest(call)
        assert call.body == TEXT
        assert call.is_whole is is_whole
        assert not call.is_kept


async def test_a_reset_is_nobodys_end(rest: Rest) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + TEXT)
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with asking(serve) as call:
        await rest(call)
        assert not call.is_whole


async def test_an_answer_without_end_is_read_only_so_far(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jarvis_trio.storm.call.MOST_BODY_BYTES", 1_000_000)

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(HEAD)
            while True:
                await stream.send_all(chunk(b"x" * 10_000))

    async with asking(serve) as call:
        await rest(call)
        assert 1_000_000 < len(call.body) < 2_000_000
        assert not call.is_whole
        assert read_answer(call).fault == "more than 256 MB"


async def test_what_is_not_http_ends_the_call(rest: Rest) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"SSH-2.0-nothing\r\n")
        await trio.sleep_forever()

    async with asking(serve) as call:
        await rest(call)
        assert call.status == 0
        assert not call.is_whole


async def test_a_crowd_keeps_a_hundred_answers_apart(sim: SimClient) -> None:
    target = Target("127.0.0.1", sim.port)
    calls: dict[int, Call] = {}

    async def ask(number: int, crowd: Crowd) -> None:
        body = b'{"model":"sim?named=1&tokens=9","stream":true,"messages":[{"role":"user",'
        body += b'"content":"marker:m%d"}]}' % number
        async with calling(target, Request("POST", "/v1/chat/completions", body)) as call:
            calls[number] = call
            await crowd.rest(call)

    with trio.fail_after(10), Crowd() as crowd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.run)
            async with trio.open_nursery() as asking_all:
                for number in range(100):
                    asking_all.start_soon(ask, number, crowd)
            nursery.cancel_scope.cancel(reason="all are read")
    for number, call in calls.items():
        assert call.is_whole
        assert call.body.count(b"@") == call.body.count(b"@m%d " % number) == 9


async def test_leaving_a_crowd_before_the_end_leaves_nothing_behind(sim: SimClient) -> None:
    with trio.fail_after(5), Crowd() as crowd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.run)
            body = (
                b'{"model":"sim?first_ms=200&tokens=9","stream":true,"messages":[{"role":"user"}]}'
            )
            target = Target("127.0.0.1", sim.port)
            async with calling(target, Request("POST", "/v1/chat/completions", body)) as call:
                with trio.move_on_after(0.05):
                    await crowd.rest(call)
                assert crowd._reading == {}
                assert call.ended_ns is None
                await call.rest()  # what comes now is nobody's but the caller's
                assert call.is_whole
            nursery.cancel_scope.cancel(reason="the test is over")


async def test_a_host_of_two_addresses_is_called_where_somebody_listens() -> None:
    """``localhost`` is ::1 first on many machines, and the server is on 127.0.0.1."""
    with trio.fail_after(5):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            port = listener.socket.getsockname()[1]

            class Resolver(trio.abc.HostnameResolver):
                async def getaddrinfo(self, *_, **__):  # type: ignore[no-untyped-def]
                    kind = trio.socket.SOCK_STREAM
                    return [
                        (trio.socket.AF_INET6, kind, 6, "", ("::1", port, 0, 0)),
                        (trio.socket.AF_INET, kind, 6, "", ("127.0.0.1", port)),
                    ]

                async def getnameinfo(self, *_, **__):  # type: ignore[no-untyped-def]
                    raise NotImplementedError

            trio.socket.set_custom_hostname_resolver(Resolver())
            target = read_target(f"http://both.example:{port}")
            async with calling(target, Request("GET", "/")) as call:
                assert call.status == 0


def broken_by(error: Exception) -> trio.BrokenResourceError:
    broken = trio.BrokenResourceError()
    broken.__cause__ = error
    return broken


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "Error connecting to ('::1', 1, 0, 0)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError("no connection within 10 s"), "no connection within 10 s"),
        (broken_by(ConnectionResetError(104, "x")), "Connection reset by peer"),
        (trio.BrokenResourceError(), "BrokenResourceError"),
    ],
)
def test_why_there_is_no_connection_is_told_in_words(error: Exception, told: str) -> None:
    assert in_words(error) == told


async def refusal_over_tls(serve: Callable[[trio.SocketStream], Awaitable[object]]) -> str:
    """Call a server by https and return why that cannot be."""
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve, [listener])  # noqa: ASYNC113 - it listens
            target = Target("127.0.0.1", listener.socket.getsockname()[1], is_secure=True)
            with pytest.raises(CALL_ERRORS) as refused:
                async with calling(target, Request("GET", "/")):
                    pass
            nursery.cancel_scope.cancel(reason="the test is over")
    return in_words(refused.value)


async def test_who_calls_plain_http_by_https_is_told_to_try_http() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.receive_some()

    assert "(WRONG_VERSION_NUMBER; http://?)" in await refusal_over_tls(serve)


async def test_who_meets_a_certificate_of_nobody_is_told_of_insecure() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await trio.SSLStream(stream, context, server_side=True).do_handshake()

    told = await refusal_over_tls(serve)
    assert told == "unable to get local issuer certificate (--insecure accepts any certificate)"
