"""Model servers that cannot be reached: a real status at once, and no trace of the attempt."""

import ssl
import uuid
from typing import Any

import pytest
import trustme

from tests.end_to_end.faults.played_upstream import (
    PlayedUpstream,
    head,
    servers_before_upstream,
)
from tests.providers.raw_server import RawPeer, raw_server, unaccepting_port

NOBODYS = ".".join(["x" * 60] * 5)
"""Longer than any name: the resolver says so without asking anybody."""

SETTINGS: dict[str, Any] = {"connect_timeout_s": "0.4", "first_token_timeout_s": "30"}

upstream = servers_before_upstream(**SETTINGS)
tls_upstream = servers_before_upstream(scheme="https", **SETTINGS | {"connect_timeout_s": "2.5"})
nameless_upstream = servers_before_upstream(host=NOBODYS, **SETTINGS)


async def assert_unreachable(
    upstream: PlayedUpstream, code: str, status: int, says: str, **options: Any
) -> None:
    trace = uuid.uuid4().hex
    exchange = await upstream.ask(trace=trace, **options)
    assert says in upstream.assert_failed(exchange, trace, code, status, None)


@pytest.mark.parametrize("streaming", [True, False])
async def test_nobody_listens(upstream: PlayedUpstream, streaming: bool) -> None:
    await assert_unreachable(upstream, "upstream_error", 502, "cannot be reached", stream=streaming)


async def test_nobody_listens_and_the_prompt_names_no_model(upstream: PlayedUpstream) -> None:
    """Its stream is what fails, in its session and after its retries, like any other."""
    await assert_unreachable(upstream, "upstream_error", 502, "cannot be reached", model=None)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_port_that_never_accepts(upstream: PlayedUpstream, streaming: bool) -> None:
    with unaccepting_port(upstream.port):
        await assert_unreachable(upstream, "upstream_timeout", 504, "(connect)", stream=streaming)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_name_that_is_nobodys(nameless_upstream: PlayedUpstream, streaming: bool) -> None:
    await assert_unreachable(
        nameless_upstream, "upstream_error", 502, "cannot be reached", stream=streaming
    )


async def test_a_certificate_that_nobody_trusts(tls_upstream: PlayedUpstream) -> None:
    heard = False

    async def play(peer: RawPeer, _: bytes) -> None:
        nonlocal heard
        heard = True

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with tls_upstream.playing(play, tls):
        await assert_unreachable(tls_upstream, "upstream_error", 502, "certificate verify failed")
    assert not heard


@pytest.mark.parametrize(
    "said", [head(400, "Content-Length: 0"), b"", b"\0" * 99], ids=["http", "nothing", "zeroes"]
)
async def test_no_tls_behind_https(tls_upstream: PlayedUpstream, said: bytes) -> None:
    async def handler(peer: RawPeer) -> None:
        await peer.tcp.receive_some()
        await peer.send(said)

    async with raw_server(handler, port=tls_upstream.port):
        await assert_unreachable(tls_upstream, "upstream_error", 502, "cannot be reached")


async def test_a_handshake_that_is_never_answered(tls_upstream: PlayedUpstream) -> None:
    async with raw_server(RawPeer.see_close, port=tls_upstream.port):
        await assert_unreachable(tls_upstream, "upstream_timeout", 504, "(connect)")
