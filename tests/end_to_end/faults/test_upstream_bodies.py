"""Answers that begin well: what came before the fault is shown, and no fault is a clean end."""

import re
from functools import partial
from itertools import cycle

import pytest
import trio

from tests.end_to_end.client import Exchange
from tests.end_to_end.faults.played_upstream import (
    OPENAI,
    SECRET,
    PlayedUpstream,
    saying,
    servers_before_upstream,
)
from tests.providers.raw_server import RawPeer

CHUNKED = "Transfer-Encoding: chunked"
PIECE = b"x" * 65_536
PIECES = 4096
"""Of an endless line: 256 MB, which nobody waits for."""

GROWTH_BYTES = 48 * 1024 * 1024
"""What a worker may grow by for one line of at most 4 MB, its copies and their garbage."""

upstream = servers_before_upstream(log_level="info")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def assert_whole(exchange: Exchange, text: str) -> None:
    assert exchange.is_complete
    assert exchange.text == text
    assert exchange.raw.count(b'"finish_reason":"stop"') == 1


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("framing", ["closed", "sized", "chunked", "cut"])
async def test_an_answer_without_its_end_marker_is_no_answer(
    upstream: PlayedUpstream, framing: str, then: str, streaming: bool
) -> None:
    """Also where HTTP itself says that this was all."""
    tokens = upstream.api.tokens(0, 1)
    headers, body = {
        "closed": ("X: y", tokens),
        "sized": (f"Content-Length: {len(tokens)}", tokens),
        "chunked": (CHUNKED, chunk(tokens) + b"0\r\n\r\n"),
        "cut": (CHUNKED, chunk(tokens)),
    }[framing]
    play = saying(upstream.api.head(headers), body, then=then)
    text = "w0 w1 " if streaming else None
    await upstream.fails(play, "upstream_eof", text=text, stream=streaming)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("then", ["close", "stay"])
@pytest.mark.parametrize("numbers", [(), (0, 1)], ids=["at once", "after two tokens"])
async def test_an_error_in_the_answer_is_told_to_the_client_and_not_to_the_log(
    upstream: PlayedUpstream, numbers: tuple[int, ...], then: str, streaming: bool
) -> None:
    api = upstream.api
    play = saying(api.head(), api.tokens(*numbers), api.error, api.end, then=then)
    text = "".join(f"w{number} " for number in numbers) if streaming else None
    message = await upstream.fails(play, "upstream_error", text=text, stream=streaming)
    assert f"out of memory at {SECRET}" in message


@pytest.mark.parametrize("streaming", [True, False])
async def test_what_is_no_json_ends_the_answer(upstream: PlayedUpstream, streaming: bool) -> None:
    api = upstream.api
    broken = api.tokens(1).replace(b"}", b"]")
    play = saying(api.head(), api.tokens(0), broken, api.tokens(2), api.end, then="stay")
    message = await upstream.fails(
        play, "upstream_error", text="w0 " if streaming else None, stream=streaming
    )
    assert "cannot be read" in message


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_endless_line_costs_little_memory_and_is_left(
    upstream: PlayedUpstream, streaming: bool
) -> None:
    sent = 0

    async def play(peer: RawPeer, _: bytes) -> None:
        nonlocal sent
        begun = upstream.api.tokens(1).partition(b"w1")[0]
        await peer.stream.send_all(upstream.api.head() + upstream.api.tokens(0) + begun)
        while sent < PIECES:
            await peer.stream.send_all(PIECE)
            sent += 1

    before = most_memory_bytes(upstream)
    message = await upstream.fails(
        play, "upstream_error", text="w0 " if streaming else None, stream=streaming
    )
    assert re.search("(longer|larger) than 4194304 bytes", message)
    assert sent < PIECES / 4
    assert most_memory_bytes(upstream) < before + GROWTH_BYTES


def most_memory_bytes(upstream: PlayedUpstream) -> int:
    """Return the most that the worker ever had resident."""
    (worker,) = upstream.server.children()[-1:]
    found = re.search(r"VmHWM:\s+(\d+) kB", (worker / "status").read_text("ascii"))
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("then", ["close", "reset", "stay"])
@pytest.mark.parametrize("behind", ["a token", "an error", "the end again", "garbage"])
async def test_what_follows_the_end_marker_is_nobodys_business(
    upstream: PlayedUpstream, behind: str, then: str
) -> None:
    api = upstream.api
    more = {
        "a token": api.tokens(7),
        "an error": api.error,
        "the end again": api.finish + api.end,
        "garbage": b"\0\xff{",
    }[behind]
    exchange = await upstream.answer_to(saying(api.head(), api.answer, more, then=then))
    assert_whole(exchange, "w0 w1 ")
    upstream.assert_idle()


@pytest.mark.parametrize("then", ["close", "stay"])
async def test_usage_may_come_behind_the_finish_reason(upstream: PlayedUpstream, then: str) -> None:
    """As OpenAI sends it, in a chunk of its own; Ollama's is in its last line."""
    api = upstream.api
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    counts = b'"prompt_eval_count":3,"eval_count":2'
    end = usage + api.end if api is OPENAI else api.end.replace(b"}", b",%b}" % counts)
    play = saying(api.head(), api.tokens(0, 1), api.finish, end, then=then)
    exchange = await upstream.answer_to(play, stream_options={"include_usage": True})
    assert_whole(exchange, "w0 w1 ")
    (told,) = [chunk["usage"] for chunk in exchange.chunks if chunk.get("usage")]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (3, 2)


@pytest.mark.parametrize("upstream", ["openai"], indirect=True, scope="module")
@pytest.mark.parametrize("twice", [b"", OPENAI.finish], ids=["once", "twice"])
async def test_a_finish_reason_and_then_more_is_still_one_end(
    upstream: PlayedUpstream, twice: bytes
) -> None:
    """OpenAI's finish reason is not its end marker; in Ollama's format the two are one."""
    play = saying(
        OPENAI.head(), OPENAI.tokens(0), OPENAI.finish, OPENAI.tokens(1), twice, OPENAI.end
    )
    assert_whole(await upstream.answer_to(play), "w0 w1 ")


async def test_many_faults_at_once_are_each_their_own_and_leave_the_others_alone(
    upstream: PlayedUpstream,
) -> None:
    """I8: each has its own end, behind its own text."""
    api = upstream.api
    ends = {
        "whole": (None, saying(api.finish, api.end)),
        "eof": ("upstream_eof", saying()),
        "reset": ("upstream_eof", saying(then="reset")),
        "error": ("upstream_error", saying(api.error)),
    }
    numbers = range(10 * len(ends))
    names = dict(zip(numbers, cycle(ends), strict=False))

    async def play(peer: RawPeer, request: bytes) -> None:
        found = re.search(rb"<(\d+)>", request)
        assert found is not None
        number = int(found[1])
        await peer.stream.send_all(api.head() + api.tokens(number))
        await answers[number].first_text.wait()
        await peer.send(*[api.tokens(number)] * 4)  # held back for a while, as all the others' are
        _, end = ends[names[number]]
        await end(peer, request)

    answers = {number: Exchange() for number in numbers}
    async with upstream.playing(play), trio.open_nursery() as nursery:
        for number in numbers:
            nursery.start_soon(partial(upstream.ask, f"<{number}>", exchange=answers[number]))
    for number, name in names.items():
        exchange = answers[number]
        code, _ = ends[name]
        assert exchange.error_code == code
        assert exchange.is_complete == (name == "whole")
        text = f"w{number} " * 5
        # A reset may overtake what was sent before it.
        assert exchange.text == text or (name == "reset" and text.startswith(exchange.text))
    upstream.assert_idle()
