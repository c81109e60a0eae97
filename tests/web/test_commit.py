"""When a streaming answer's headers are sent, and what keeps a quiet one open."""

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.errors import ModelNotFoundError, UpstreamEOFError, UpstreamError
from jarvis_trio.events import Finish, Text
from jarvis_trio.wire.openai.frames import PING
from tests.asgi_client import Exchange
from tests.scripted import Play, words
from tests.web.server import events, refusal, serving, text_of


async def arrivals(exchange: Exchange) -> list[tuple[float, str]]:
    """Return when each piece arrived, and what it was."""
    told = []
    while piece := await exchange.receive():
        said = "ping" if piece == PING else text_of(piece) or "…"
        told.append((round(trio.current_time(), 6), said))
    return told


@pytest.mark.parametrize("after", [0.0, 0.4, 0.999])
async def test_headers_are_sent_as_soon_as_the_upstream_accepts(
    autojump_clock: MockClock, after: float
) -> None:
    play = Play(30.0, Text("late"), Finish("stop"), before_accept=[after])
    async with serving(lambda _: play) as server, server.chat() as exchange:
        assert await exchange.status() == 200
        assert trio.current_time() == after


async def test_headers_are_sent_after_a_second_whatever_the_upstream_does(
    autojump_clock: MockClock,
) -> None:
    play = Play(Text("late"), Finish("stop"), before_accept=[5.0])
    async with serving(lambda _: play) as server, server.chat() as exchange:
        assert await exchange.status() == 200
        assert trio.current_time() == 1
        assert await arrivals(exchange) == [(1, "…"), (5, "late"), (5, "…")]


async def test_a_refusal_in_the_first_second_is_a_real_status(autojump_clock: MockClock) -> None:
    play = Play(before_accept=[0.999, ModelNotFoundError("no such model", param="model")])
    async with serving(lambda _: play) as server, server.chat() as exchange:
        assert await exchange.status() == 404
        assert (await refusal(exchange))["code"] == "model_not_found"
        assert exchange.headers["content-type"] == "application/json"


async def test_a_refusal_after_the_first_second_is_an_error_frame_and_done(
    autojump_clock: MockClock,
) -> None:
    play = Play(before_accept=[1.5, ModelNotFoundError("no such model", param="model")])
    async with serving(lambda _: play) as server, server.chat() as exchange:
        assert await exchange.status() == 200
        opening, error, done = events(await exchange.read())
        assert opening["choices"][0]["delta"]["role"] == "assistant"
        assert error["error"]["code"] == "model_not_found"
        assert error["error"]["param"] == "model"
        assert done == "[DONE]"
        assert trio.current_time() == 1.5


async def test_a_failure_at_once_after_the_acceptance_is_an_error_frame(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: Play(UpstreamError("gone"))) as server, server.chat() as exchange:
        assert await exchange.status() == 200
        *_, error, done = events(await exchange.read())
        assert error["error"]["code"] == "upstream_error"
        assert done == "[DONE]"
        await server.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (Play(Text("a"), UpstreamError("gone")), "upstream_error"),
        (Play(Text("a"), UpstreamEOFError("closed")), "upstream_eof"),
        (Play(Text("a"), 61.0), "upstream_timeout"),
        (Play(121.0), "upstream_timeout"),
        (Play(Text("a"), RuntimeError("boom")), "internal_error"),
    ],
)
async def test_a_stream_that_fails_ends_with_one_error_frame_and_done(
    autojump_clock: MockClock, play: Play, code: str
) -> None:
    """I5."""
    async with serving(lambda _: play) as server, server.chat() as exchange:
        got = events(await exchange.read())
        assert [event["error"]["code"] for event in got[:-1] if "error" in event] == [code]
        assert "error" in got[-2]
        assert got[-1] == "[DONE]"
        assert not [event for event in got[:-2] if event["choices"][0]["finish_reason"] is not None]
        await server.assert_nothing_is_left()


async def test_a_quiet_stream_is_kept_open_by_pings(autojump_clock: MockClock) -> None:
    play = Play(25.0, Text("a"), 12.0, Text("b"), 9.0, Finish("stop"), before_accept=[22.0])
    async with serving(lambda _: play, keepalive_s=10) as server, server.chat() as exchange:
        assert await exchange.status() == 200
        assert await arrivals(exchange) == [
            (1, "…"),
            (11, "ping"),
            (21, "ping"),
            (31, "ping"),
            (41, "ping"),
            (47, "a"),
            (57, "ping"),
            (59, "b"),
            (68, "…"),
        ]


async def test_no_ping_comes_between_the_pieces_of_a_lively_stream(
    autojump_clock: MockClock,
) -> None:
    play = words("a", "b", "c", gap=4)
    async with serving(lambda _: play, keepalive_s=5) as server, server.chat() as exchange:
        assert b": ping" not in await exchange.read()


async def test_a_whole_answer_waits_for_its_upstream_without_a_byte(
    autojump_clock: MockClock,
) -> None:
    """Nothing may come before its status, so that a late failure is still a real one."""
    play = Play(50.0, UpstreamError("gone"), before_accept=[5.0])
    async with serving(lambda _: play) as server, server.chat(stream=False) as exchange:
        assert await exchange.status() == 502
        assert trio.current_time() == 55
