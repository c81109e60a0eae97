"""Every refusal is ``{"error": {message, type, param, code}}`` with a status that says the same."""

import gc
import itertools
import threading
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.config import LINGER_SECONDS
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import (
    JarvisError,
    ModelNotFoundError,
    RequestError,
    UpstreamBusyError,
    UpstreamDownError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import ChatRequest
from jarvis_trio.web import openai_routes
from jarvis_trio.web.openai_routes import DECODE_ON_THE_LOOP_BYTES
from jarvis_trio.wire.openai.request import decode_chat_request
from tests.scripted import Play, words
from tests.web.server import (
    CHAT,
    DEVKEY,
    FailingModels,
    refusal,
    serving,
    stuck_in,
    text_of,
)

INVALID = "invalid_request_error"


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1//chat/completions", "/static/x"])
async def test_an_address_that_is_not_there_is_404(autojump_clock: MockClock, path: str) -> None:
    async with serving() as server, server.request("POST", path, body=b"{}") as exchange:
        assert await exchange.status() == 404
        error = await refusal(exchange)
        assert (error["type"], error["code"]) == ("not_found_error", "not_found")


async def test_a_slash_at_the_end_is_no_redirect(autojump_clock: MockClock) -> None:
    async with serving() as server:
        body = b'{"prompt":"hello"}'
        async with server.request("POST", CHAT + "/", headers=DEVKEY, body=body) as exchange:
            assert await exchange.status() == 200


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/nowhere", {}),
        ("GET", "/healthz", {}),
        ("GET", "/v1/models", {}),
        ("GET", CHAT, {}),
        ("GET", "/healthz", {"Host": "evil.example"}),
        ("POST", CHAT, {**DEVKEY, "X-Session-Id": "not an id"}),
    ],
)
async def test_every_answer_carries_the_requests_id(
    autojump_clock: MockClock, method: str, path: str, headers: dict[str, str]
) -> None:
    headers = {**headers, "X-Request-Id": "mine"}
    async with serving() as server, server.request(method, path, headers=headers) as exchange:
        await exchange.status()
        assert exchange.headers["x-request-id"] == "mine"


async def test_a_large_request_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """I9: the loop is free while a huge paste is checked."""
    threads = []

    def decode(body: bytes) -> ChatRequest:
        threads.append(threading.current_thread() is threading.main_thread())
        return decode_chat_request(body)

    monkeypatch.setattr(openai_routes, "decode_chat_request", decode)
    async with serving(lambda _: words("ok")) as server:
        for size in (10, DECODE_ON_THE_LOOP_BYTES):
            async with server.chat("x" * size) as exchange:
                assert text_of(await exchange.read()) == "ok"
    assert threads == [True, False]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, {"POST", "OPTIONS"}),
        ("DELETE", "/v1/models", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_method_that_is_not_taken_is_405_and_says_which_are(
    autojump_clock: MockClock, method: str, path: str, allowed: set[str]
) -> None:
    async with serving() as server, server.request(method, path) as exchange:
        assert await exchange.status() == 405
        error = await refusal(exchange)
        assert (error["type"], error["code"]) == (INVALID, "method_not_allowed")
        assert set(exchange.headers["allow"].split(", ")) == allowed


async def test_a_model_that_is_not_there_is_404(autojump_clock: MockClock) -> None:
    async with (
        serving() as server,
        server.request("GET", "/v1/models/no/such", headers=DEVKEY) as exchange,
    ):
        assert await exchange.status() == 404
        error = await refusal(exchange)
        assert (error["type"], error["code"]) == (INVALID, "model_not_found")
        assert error["param"] == "model"
        assert "no/such" in error["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"prompt": "\xff"}', b"[]", b"null", b'{"messages": []}', b"{}", b"[" * 5000],
)
async def test_a_body_that_is_no_request_is_400(autojump_clock: MockClock, body: bytes) -> None:
    async with serving() as server, server.chat(body=body) as exchange:
        assert await exchange.status() == 400
        error = await refusal(exchange)
        assert (error["type"], error["code"]) == (INVALID, "invalid_request")
        assert server.provider.history == []


async def test_a_field_that_is_wrong_is_named(autojump_clock: MockClock) -> None:
    body = b'{"prompt": "x", "n": 2}'
    async with serving() as server, server.chat(body=body) as exchange:
        assert await exchange.status() == 400
        assert (await refusal(exchange))["param"] == "n"


@pytest.mark.parametrize("session_id", ["", "a b", "x" * 129, "a/b", "é"])
async def test_a_session_id_that_is_unusable_is_400(
    autojump_clock: MockClock, session_id: str
) -> None:
    async with serving() as server, server.chat(session=session_id) as exchange:
        assert await exchange.status() == 400
        assert (await refusal(exchange))["param"] == "X-Session-Id"
        assert "x-session-id" not in exchange.headers


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("X-Session-Policy", "whatever", "invalid_request"),
        ("X-On-Disconnect", "whatever", "invalid_request"),
    ],
)
async def test_what_this_version_cannot_do_is_refused_and_not_ignored(
    autojump_clock: MockClock, name: str, value: str, code: str
) -> None:
    async with serving() as server, server.chat(headers={name: value}) as exchange:
        assert await exchange.status() == 400
        error = await refusal(exchange)
        assert (error["type"], error["code"], error["param"]) == (INVALID, code, name)
        assert server.provider.history == []


@pytest.mark.parametrize(
    "headers",
    [{"X-Session-Policy": " Interrupt"}, {"X-On-Disconnect": "Cancel"}, {"X-On-Disconnect": ""}],
)
async def test_the_defaults_may_be_said_aloud(
    autojump_clock: MockClock, headers: dict[str, str]
) -> None:
    async with serving() as server, server.chat(headers=headers) as exchange:
        assert await exchange.status() == 200


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "x/y"])
async def test_a_body_that_is_not_json_is_415(autojump_clock: MockClock, content_type: str) -> None:
    async with (
        serving() as server,
        server.chat(headers={"Content-Type": content_type}) as exchange,
    ):
        assert await exchange.status() == 415
        error = await refusal(exchange)
        assert (error["type"], error["code"]) == (INVALID, "unsupported_media_type")


async def test_a_body_announced_too_large_is_413_before_any_of_it_came(
    autojump_clock: MockClock,
) -> None:
    async with serving(max_body_bytes=1000) as server:
        headers = {"Content-Length": "1001"}
        async with server.chat(headers=headers, body=[5.0, b"x" * 1001]) as exchange:
            assert await exchange.status() == 413
            assert trio.current_time() == 0
            error = await refusal(exchange)
            assert (error["type"], error["code"]) == (INVALID, "body_too_large")


async def test_a_body_that_grows_too_large_is_413_while_it_is_still_coming(
    autojump_clock: MockClock,
) -> None:
    flood: Iterator[bytes | float] = itertools.cycle([b"x" * 100, 0.5])
    async with serving(max_body_bytes=1000) as server, server.chat(body=flood) as exchange:
        assert await exchange.status() == 413
        assert trio.current_time() == 5  # with the eleventh hundred
        assert (await refusal(exchange))["code"] == "body_too_large"


async def test_a_body_of_the_largest_size_is_taken(autojump_clock: MockClock) -> None:
    body = b'{"prompt": "x", "stream": true}'.ljust(1000)
    async with serving(max_body_bytes=1000) as server, server.chat(body=body) as exchange:
        assert await exchange.status() == 200


async def test_a_body_that_does_not_come_is_408(autojump_clock: MockClock) -> None:
    async with serving() as server, server.chat(body=b"{", finishes=False) as exchange:
        assert await exchange.status() == 408
        assert trio.current_time() == 30
        error = await refusal(exchange)
        assert (error["type"], error["code"]) == (INVALID, "request_timeout")


@pytest.mark.parametrize("how", ["never", "later"])
async def test_a_client_that_still_sends_gets_to_read_why_it_is_refused(
    autojump_clock: MockClock, how: str
) -> None:
    """Closing with unread bytes would reset the connection: the end waits, but not for ever."""
    body: list[bytes | float] = [b"x", 3.0, b"y"]
    headers = {"Content-Type": "text/plain"}
    async with (
        serving() as server,
        server.chat(headers=headers, body=body, finishes=how == "later") as exchange,
    ):
        assert await exchange.status() == 415
        assert b"unsupported_media_type" in await exchange.receive()
        assert trio.current_time() == 0
        assert await exchange.receive() == b""
        assert trio.current_time() == {"never": LINGER_SECONDS, "later": 3}[how]


async def test_a_flood_is_read_no_longer_than_the_client_may_linger(
    autojump_clock: MockClock,
) -> None:
    flood: Iterator[bytes | float] = itertools.cycle([b"x" * 100, 0.5])
    headers = {"Content-Type": "text/plain"}
    async with serving() as server, server.chat(headers=headers, body=flood) as exchange:
        assert await exchange.status() == 415
        await exchange.ended.wait()
        assert trio.current_time() == LINGER_SECONDS


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (UpstreamError("no"), 502, "server_error", "upstream_error"),
        (UpstreamEOFError("no"), 502, "server_error", "upstream_eof"),
        (UpstreamTimeoutError("no"), 504, "server_error", "upstream_timeout"),
        (UpstreamRejectedError("no"), 400, INVALID, "upstream_rejected"),
        (UpstreamRateLimitError("no"), 429, "rate_limit_error", "upstream_rate_limited"),
        (UpstreamBusyError("no"), 503, "unavailable_error", "upstream_busy"),
        (ModelNotFoundError("no", param="model"), 404, INVALID, "model_not_found"),
        (RequestError("no", param="tools"), 400, INVALID, "invalid_request"),
        (RuntimeError("no"), 500, "server_error", "internal_error"),
    ],
)
async def test_a_refusal_of_the_upstream_is_a_real_status(
    autojump_clock: MockClock,
    *,
    stream: bool,
    error: Exception,
    status: int,
    kind: str,
    code: str,
) -> None:
    async with serving(lambda _: Play(before_accept=[error])) as server:
        async with server.chat(stream=stream, session="s") as exchange:
            assert await exchange.status() == status
            told = await refusal(exchange)
            assert (told["type"], told["code"]) == (kind, code)
            assert told["param"] == getattr(error, "param", None)
            assert "retry-after" not in exchange.headers
            assert "x-should-retry" not in exchange.headers
            assert exchange.headers["x-session-id"] == "s"
            assert exchange.headers["x-stream-id"].startswith("str_")
            assert exchange.headers["x-request-id"]
            assert exchange.headers["cache-control"] == "no-cache, no-transform"
        await server.assert_nothing_is_left()


async def test_the_upstreams_retry_after_is_passed_on_in_whole_seconds(
    autojump_clock: MockClock,
) -> None:
    busy = UpstreamBusyError("loading", retry_after=2.2)
    async with serving(lambda _: Play(before_accept=[busy])) as server, server.chat() as exchange:
        assert await exchange.status() == 503
        assert exchange.headers["retry-after"] == "3"


async def test_a_full_server_is_503_with_retry_after_but_never_for_a_supersede(
    autojump_clock: MockClock,
) -> None:
    plays = {"A": stuck_in("decode"), "B": words("b"), "C": words("c")}
    async with serving(lambda prompt: plays[prompt], max_streams=1) as server:
        async with server.chat("A", session="one") as first:
            assert await first.status() == 200
            async with server.chat("C", session="two") as refused:
                assert await refused.status() == 503
                error = await refusal(refused)
                assert (error["type"], error["code"]) == ("unavailable_error", "overloaded")
                assert refused.headers["retry-after"] == "1"
                assert refused.headers["x-session-id"] == "two"
                assert "x-stream-id" not in refused.headers
                assert "x-should-retry" not in refused.headers
            async with server.chat("B", session="one") as second:
                assert await second.status() == 200
                await second.read()
        async with server.chat("C", session="two") as again:
            assert await again.status() == 200
        assert ("open", "C") in server.provider.history


async def test_who_finds_no_place_in_the_line_for_the_upstream_is_429_with_retry_after(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: words("a", gap=35), upstream_concurrency=1, max_queue=1) as server:
        async with (
            server.chat("A", session="one") as first,
            server.chat("B", session="two") as second,
        ):
            assert await first.status() == 200
            assert await second.status() == 200  # committed while it waits in the line
            assert await server.metric("jarvis_streams_queued") == 1
            async with server.chat("C", session="three") as refused:
                assert await refused.status() == 429
                error = await refusal(refused)
                assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
                assert refused.headers["retry-after"] == "1"
            assert text_of(await first.read()) == "a"
            waited = await second.read()
            assert (
                waited.count(b": ping") == 6
            )  # every ten seconds, three in the line and three in prefill
            assert text_of(waited) == "a"
        assert server.provider.max_open == 1
        await server.assert_nothing_is_left()


async def test_an_upstream_that_is_down_is_asked_again_also_when_no_model_is_named(
    autojump_clock: MockClock,
) -> None:
    """Which model answers is asked before there is a stream; the retries are the stream's."""
    down = UpstreamDownError("scripted cannot be reached")
    provider = FailingModels(down)
    provider.default_model = None
    plays = [Play(before_accept=[down]), words("back")]
    provider.script = lambda _: plays.pop(0)
    async with serving(provider=provider) as server, server.chat() as exchange:
        assert await exchange.status() == 200
        assert text_of(await exchange.read()) == "back"
    provider.script = lambda _: Play(before_accept=[down])
    async with serving(provider=provider) as server, server.chat() as exchange:
        assert await exchange.status() == 502
        assert (await refusal(exchange))["code"] == "upstream_error"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (UpstreamError("down"), 502, "upstream_error"),
        (UpstreamTimeoutError("slow"), 504, "upstream_timeout"),
        (None, 504, "upstream_timeout"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/x"])
async def test_models_of_an_upstream_that_fails_are_an_error_not_an_empty_list(
    autojump_clock: MockClock, failure: JarvisError | None, status: int, code: str, path: str
) -> None:
    async with serving(provider=FailingModels(failure), connect_timeout_s=5) as server:
        before = trio.current_time()
        async with server.request("GET", path, headers=DEVKEY) as exchange:
            assert await exchange.status() == status
            assert (await refusal(exchange))["code"] == code
        assert trio.current_time() - before == (5 if failure is None else 0)


@pytest.mark.parametrize("host", ["a..b", ".", "..localhost", "x" * 64, "y" * 5000])
async def test_what_cannot_be_a_host_is_refused_like_any_other_name(
    autojump_clock: MockClock, host: str
) -> None:
    async with serving() as server, server.chat(headers={"Host": host}) as exchange:
        assert await exchange.status() == 403
        assert (await refusal(exchange))["code"] == "host_not_allowed"


async def test_an_address_that_cannot_be_read_is_400(autojump_clock: MockClock) -> None:
    async with serving() as server, server.request("GET", "http://[/x") as exchange:
        assert await exchange.status() == 400
        assert (await refusal(exchange))["code"] == "invalid_request"


def streams_in_memory() -> int:
    return sum(isinstance(each, LiveStream) for each in gc.get_objects())


async def test_a_refused_answer_leaves_nothing_for_the_garbage_collector(
    autojump_clock: MockClock,
) -> None:
    """An error's traceback holds the request and the stream, which holds the error."""
    play = Play(before_accept=[UpstreamError("down")])
    async with serving(lambda _: play, max_streams=1) as server:
        gc.collect()
        before = streams_in_memory()
        gc.disable()
        try:
            for _ in range(5):
                async with server.chat() as exchange:
                    assert await exchange.status() == 502
            assert streams_in_memory() == before
        finally:
            gc.enable()


async def test_a_refusal_at_the_limit_makes_no_stream(autojump_clock: MockClock) -> None:
    async with serving(  # noqa: SIM117 - the client leaves before the server
        lambda _: stuck_in("decode"), max_streams=1
    ) as server:
        async with server.chat() as live:
            assert await live.status() == 200
            gc.collect()
            before = streams_in_memory()
            gc.disable()
            try:
                async with server.chat() as refused:
                    assert await refused.status() == 503
                assert streams_in_memory() == before
            finally:
                gc.enable()
