"""Model servers that say nothing, or nothing that is a token: every wait has its end."""

import uuid
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.faults.played_upstream import (
    ENDS_WITHIN_SECONDS,
    OPENAI,
    SECRET,
    Api,
    Play,
    PlayedUpstream,
    saying,
    servers_before_upstream,
)
from tests.end_to_end.processes import KEY, NOBODY
from tests.providers.raw_server import RawPeer, raw_server

LONG_SECONDS = 2.5
"""What a model server of ours can keep, also when it has to wait for its turn on a busy machine."""

SETTINGS = {"connect_timeout_s": str(LONG_SECONDS), "first_token_timeout_s": str(LONG_SECONDS)}
DRIP_SECONDS = 0.05
"""Well inside of every timeout: what counts any byte as life waits for ever."""

upstream = servers_before_upstream(**SETTINGS, idle_timeout_s="0.4")
patient_upstream = servers_before_upstream(**SETTINGS, idle_timeout_s=str(LONG_SECONDS))


def dripping(opening: bytes, drop: bytes, *, byte_by_byte: bool = False) -> Play:
    """Say ``opening``, and then ``drop``, its ``#`` a number, again and again or byte by byte."""

    async def play(peer: RawPeer, _: bytes) -> None:
        await peer.stream.send_all(opening)
        for number in count(1):
            data = drop.replace(b"#", b"%d" % number)
            for piece in [bytes([byte]) for byte in data] if byte_by_byte else [data]:
                await peer.stream.send_all(piece)
                await trio.sleep(DRIP_SECONDS)

    return play


def no_tokens(api: Api) -> dict[str, bytes]:
    """Return what a model server may say without making a token."""
    if api is OPENAI:
        chunk = b"data: %b\n\n"
        return {
            "comments": b": keep-alive\n\n",
            "lines of a comment": b": keep-alive\n",
            "nothing": b"\n",
            "empty deltas": chunk % b'{"choices":[{"delta":{"role":"assistant","content":""}}]}',
            "empty tool calls": chunk % b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}',
            "no choices": chunk % b'{"choices":[]}',
            "usage": chunk % b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":#}}',
            "progress": chunk % b'{"choices":[{"delta":{}}],"prompt_progress":{"total":9}}',
        }
    return {
        "nothing": b"\n",
        "empty text": b'{"message":{"role":"assistant","content":""},"done":false}\n',
        "no message": b"{}\n",
    }


async def assert_all_time_out(
    upstream: PlayedUpstream, plays: dict[str, Play], phase: str, text: str | None, **options: Any
) -> None:
    """Let each of ``plays`` answer a prompt of its own, all of them at once, to save time."""

    async def play(peer: RawPeer, request: bytes) -> None:
        name = next(name for name in plays if f"<{name}>".encode() in request)
        await plays[name](peer, request)

    async def ask(name: str) -> None:
        trace = uuid.uuid4().hex
        answers[trace] = await upstream.ask(f"{SECRET} <{name}>", trace=trace, **options)

    answers: dict[str, Exchange] = {}
    async with upstream.playing(play) as raw:
        async with trio.open_nursery() as nursery:
            for name in plays:
                nursery.start_soon(ask, name)
        with trio.fail_after(ENDS_WITHIN_SECONDS):
            await raw.wait_handled(raw.accepted)
    assert len(answers) == len(plays)
    for trace, exchange in answers.items():
        message = upstream.assert_failed(exchange, trace, "upstream_timeout", 504, text)
        assert f"({phase})" in message


@pytest.mark.parametrize("streaming", [True, False])
async def test_headers_that_never_come(upstream: PlayedUpstream, streaming: bool) -> None:
    said = {
        "nothing": b"",
        "half a head": b"HTTP/1.1 200 OK\r\nX",
        "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    }
    plays = {name: saying(head, then="stay") for name, head in said.items()}
    await assert_all_time_out(upstream, plays, "connect", None, stream=streaming)


async def test_models_that_are_never_listed(upstream: PlayedUpstream) -> None:
    async with (
        raw_server(RawPeer.see_close, port=upstream.port) as raw,
        httpx.AsyncClient(trust_env=False, verify=NOBODY) as client,
    ):
        with trio.fail_after(ENDS_WITHIN_SECONDS):
            answer = await client.get(f"{upstream.server.url}/v1/models", headers=KEY)
            await raw.wait_handled(raw.accepted)
    assert answer.status_code == 504
    error = answer.json()["error"]
    assert error["code"] == "upstream_timeout"
    assert upstream.name in error["message"]
    upstream.assert_idle()


@pytest.mark.parametrize("streaming", [True, False])
async def test_headers_and_then_silence(upstream: PlayedUpstream, streaming: bool) -> None:
    play = saying(upstream.api.head(), then="stay")
    text = "" if streaming else None
    message = await upstream.fails(play, "upstream_timeout", 504, text=text, stream=streaming)
    assert "first token (prefill)" in message


@pytest.mark.parametrize("streaming", [True, False])
async def test_silence_between_two_tokens(upstream: PlayedUpstream, streaming: bool) -> None:
    play = saying(upstream.api.head(), upstream.api.tokens(0, 1), then="stay")
    text = "w0 w1 " if streaming else None
    message = await upstream.fails(play, "upstream_timeout", 504, text=text, stream=streaming)
    assert "the next token (decode)" in message


@pytest.mark.parametrize("upstream", ["openai"], indirect=True, scope="module")
async def test_silence_between_the_finish_reason_and_the_end_marker(
    upstream: PlayedUpstream,
) -> None:
    """Usage would come here, and errors do: without the end marker nothing is certain."""
    play = saying(OPENAI.head(), OPENAI.tokens(0), OPENAI.finish, then="stay")
    assert "(decode)" in await upstream.fails(play, "upstream_timeout", text="w0 ")


async def test_tokens_that_come_in_time_may_take_longer_than_any_timeout_together(
    patient_upstream: PlayedUpstream,
) -> None:
    """Else a test of silence would pass for a server that is merely strict."""
    api = patient_upstream.api

    async def play(peer: RawPeer, _: bytes) -> None:
        await peer.stream.send_all(api.head())
        for number in range(12):
            await peer.stream.send_all(api.tokens(number))
            await trio.sleep(LONG_SECONDS / 10)
        await peer.stream.send_all(api.finish + api.end)

    exchange = await patient_upstream.answer_to(play)
    assert exchange.is_complete
    assert exchange.text.endswith("w11 ")


async def test_a_slow_loris_inside_of_the_head(upstream: PlayedUpstream) -> None:
    play = dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x")
    assert "(connect)" in await upstream.fails(play, "upstream_timeout", 504)


@pytest.mark.parametrize("numbers", [(), (0,)], ids=["prefill", "decode"])
async def test_a_slow_loris_inside_of_one_line(
    upstream: PlayedUpstream, numbers: tuple[int, ...]
) -> None:
    """A whole token would come of it, byte by byte, in ten seconds."""
    api = upstream.api
    token = api.tokens(1).replace(b"{", b"{" + b" " * int(10 / DRIP_SECONDS), 1)
    play = dripping(api.head() + api.tokens(*numbers), token, byte_by_byte=True)
    message = await upstream.fails(play, "upstream_timeout", text="w0 " if numbers else "")
    assert ("(decode)" if numbers else "(prefill)") in message


@pytest.mark.parametrize("numbers", [(), (0,)], ids=["prefill", "decode"])
async def test_what_makes_no_token_is_no_life(
    upstream: PlayedUpstream, numbers: tuple[int, ...]
) -> None:
    """Keep-alives hold a connection, not a client."""
    opening = upstream.api.head() + upstream.api.tokens(*numbers)
    plays = {name: dripping(opening, drop) for name, drop in no_tokens(upstream.api).items()}
    phase, text = ("decode", "w0 ") if numbers else ("prefill", "")
    await assert_all_time_out(upstream, plays, phase, text)


async def test_a_flood_of_keep_alives_hides_no_timeout(upstream: PlayedUpstream) -> None:
    drop = no_tokens(upstream.api)["nothing"] * 10_000

    async def play(peer: RawPeer, _: bytes) -> None:
        await peer.stream.send_all(upstream.api.head())
        while True:
            await peer.stream.send_all(drop)

    assert "(prefill)" in await upstream.fails(play, "upstream_timeout", text="")


@pytest.mark.parametrize("ending", ["superseded", "left"])
@pytest.mark.parametrize("phase", ["connect", "prefill"])
async def test_an_upstream_that_wedges_on_a_cancel_fails_the_next_prompt_and_then_recovers(
    patient_upstream: PlayedUpstream, phase: str, ending: str
) -> None:
    """A streams and is cancelled; B finds silence, and an honest end; C is answered at once."""
    upstream = patient_upstream
    api = upstream.api
    silence = b"" if phase == "connect" else api.head()

    async def play(peer: RawPeer, request: bytes) -> None:
        # The newest first: what came before a prompt comes with it.
        if b"<C>" in request:
            await saying(api.head(), api.answer)(peer, request)
        elif b"<B>" in request:
            await saying(silence, then="stay")(peer, request)
        else:
            await dripping(api.head(), api.tokens(0))(peer, request)

    session = f"wedged-{phase}-{ending}"
    first = Exchange()
    trace = uuid.uuid4().hex
    ask_first = partial(
        prompt, upstream.server.url, "<A>", session=session, exchange=first, model="m"
    )
    async with upstream.playing(play) as raw:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_first)
            with trio.fail_after(ENDS_WITHIN_SECONDS):
                await first.first_text.wait()
            if ending == "left":
                nursery.cancel_scope.cancel(reason="the client leaves")
            else:
                second = await upstream.ask(f"<B> {SECRET}", session=session, trace=trace)
        if ending == "left":
            second = await upstream.ask(f"<B> {SECRET}", session=session, trace=trace)
        else:
            assert first.error_code == "superseded"
            assert first.ends_with_done
        third = await upstream.ask("<C>", session=session)
        with trio.fail_after(ENDS_WITHIN_SECONDS):
            await raw.wait_handled(raw.accepted)
    text = None if phase == "connect" else ""
    message = upstream.assert_failed(second, trace, "upstream_timeout", 504, text)
    assert f"({phase})" in message
    assert third.is_complete
    assert third.text == "w0 w1 "
