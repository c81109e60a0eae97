"""Model servers that answer, but not with an answer: each is a real HTTP status for the client."""

import gzip
import json

import pytest
import trio

from tests.end_to_end.client import Exchange
from tests.end_to_end.faults.played_upstream import (
    SECRET,
    PlayedUpstream,
    head,
    saying,
    servers_before_upstream,
)
from tests.providers.raw_server import RawPeer

PAGE = b"<html><body>502 Bad Gateway</body></html>"
ELSEWHERE = "Location: /elsewhere"

upstream = servers_before_upstream()
impatient_upstream = servers_before_upstream(is_patient=False)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("said", "code", "status"),
    [
        pytest.param(400, "upstream_rejected", 400),
        pytest.param(401, "upstream_error", 502),
        pytest.param(404, "upstream_error", 502),
        pytest.param(429, "upstream_rate_limited", 429),
        pytest.param(500, "upstream_error", 502),
        pytest.param(502, "upstream_error", 502),
        pytest.param(503, "upstream_busy", 503),
    ],
)
async def test_a_refusal_is_told_by_its_status(
    upstream: PlayedUpstream, said: int, code: str, status: int, streaming: bool
) -> None:
    """Also where it quotes the prompt, which is for the client and not for the log."""
    reason = json.dumps({"error": f"no: {SECRET}"}).encode()
    play = saying(head(said, f"Content-Length: {len(reason)}"), reason, then="stay")
    message = await upstream.fails(play, code, status, stream=streaming)
    quotes = said not in {401, 404}  # of these two we know what to do about them, and say that
    assert (SECRET in message) == quotes


@pytest.mark.parametrize("piece", [b"", b"n"], ids=["silence", "a byte now and then"])
async def test_a_refusal_whose_reason_does_not_come_is_one_without(
    upstream: PlayedUpstream, piece: bytes
) -> None:
    async def play(peer: RawPeer, _: bytes) -> None:
        await peer.stream.send_all(head(500, "Content-Length: 1000"))
        while piece:
            await peer.stream.send_all(piece)
            await trio.sleep(0.1)
        await peer.see_close()

    assert "500" in await upstream.fails(play, "upstream_error")


async def test_a_model_that_is_not_there_is_the_clients_to_mend(upstream: PlayedUpstream) -> None:
    play = saying(head(404), b'{"error":"model \'m\' not found"}')
    assert "no model 'm'" in await upstream.fails(play, "model_not_found", 404)


@pytest.mark.parametrize(
    ("status", "given", "passed_on"),
    [
        (429, "Retry-After: 7", "7"),
        (503, "Retry-After: 7", "7"),
        (429, "Retry-After: soon", None),
        (429, "X: y", None),
    ],
)
async def test_when_to_come_back_is_passed_on(
    upstream: PlayedUpstream, status: int, given: str, passed_on: str | None
) -> None:
    exchange = await upstream.answer_to(saying(head(status, given)))
    assert exchange.status == status
    assert exchange.headers.get("retry-after") == passed_on
    upstream.assert_idle()


async def test_a_refusal_behind_our_own_headers_is_an_error_frame(
    impatient_upstream: PlayedUpstream,
) -> None:
    """Those are sent after a second, for a model that takes long to load."""
    exchange = Exchange()

    async def play(peer: RawPeer, _: bytes) -> None:
        await exchange.started.wait()
        await peer.stream.send_all(head(503))

    await impatient_upstream.fails(play, "upstream_busy", text="", exchange=exchange)


async def test_a_redirect_is_not_followed(upstream: PlayedUpstream) -> None:
    asked = 0

    async def play(peer: RawPeer, _: bytes) -> None:
        nonlocal asked
        asked += 1
        await peer.stream.send_all(head(307, ELSEWHERE, "Content-Length: 0"))

    assert "307" in await upstream.fails(play, "upstream_error")
    assert asked == 1


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    "length", [f"Content-Length: {len(PAGE)}", "X: y"], ids=["sized", "unsized"]
)
async def test_a_web_page_is_no_answer(
    upstream: PlayedUpstream, length: str, streaming: bool
) -> None:
    play = saying(head(200, "Content-Type: text/html; charset=utf-8", length), PAGE)
    message = await upstream.fails(play, "upstream_error", stream=streaming)
    assert "a web page" in message


@pytest.mark.parametrize("then", ["close", "stay"])
async def test_an_answer_that_is_compressed_unasked_is_refused_at_once(
    upstream: PlayedUpstream, then: str
) -> None:
    body = gzip.compress(upstream.api.answer)
    play = saying(upstream.api.head("Content-Encoding: gzip"), body, then=then)
    assert "compressed" in await upstream.fails(play, "upstream_error")


async def test_a_refusal_that_is_compressed_is_not_shown_as_garbage(
    upstream: PlayedUpstream,
) -> None:
    body = gzip.compress(b'{"error":"no"}')
    message = await upstream.fails(
        saying(head(500, "Content-Encoding: gzip"), body), "upstream_error"
    )
    assert message.isascii()


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: %b\r\n" % (b"x" * 1000) * 200,
    ],
    ids=["ssh", "tls", "status", "length", "endless-head"],
)
async def test_what_is_not_http_is_no_answer(upstream: PlayedUpstream, garbage: bytes) -> None:
    await upstream.fails(saying(garbage, then="stay"), "upstream_error")


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_that_ends_before_the_head_does(
    upstream: PlayedUpstream, said: bytes, then: str
) -> None:
    await upstream.fails(saying(said, then=then), "upstream_eof")


@pytest.mark.parametrize("streaming", [True, False])
async def test_interim_answers_are_passed_over(upstream: PlayedUpstream, streaming: bool) -> None:
    interim = head(100) + head(103, "Link: </style.css>; rel=preload")
    play = saying(interim, upstream.api.head(), upstream.api.answer)
    exchange = await upstream.answer_to(play, stream=streaming)
    assert exchange.status == 200
    assert b"w1 " in exchange.raw
    assert b'"finish_reason":"stop"' in exchange.raw
    upstream.assert_idle()
