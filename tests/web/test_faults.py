"""Our own faults: told to the client in our shape, and to the log in full."""

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.errors import UpstreamError
from tests.web.server import DEVKEY, FailingModels, refusal, serving


async def test_an_exception_in_a_view_is_500_and_is_logged(
    autojump_clock: MockClock,
    logged: structlog.testing.LogCapture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    boom = RuntimeError("a secret of ours")
    provider = FailingModels(UpstreamError("down"))
    async with serving(provider=provider) as server:
        await wait_all_tasks_blocked()  # what is logged at the start has asked for models too
        provider.failure = boom
        async with server.request("GET", "/v1/models", headers=DEVKEY) as exchange:
            assert await exchange.status() == 500
            error = await refusal(exchange)
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "secret" not in error["message"]
    failures = [entry for entry in logged.entries if entry["event"] == "request_failed"]
    assert [entry["exc_info"] for entry in failures] == [boom]
    assert not caplog.records  # told once, in our own log's format


async def test_an_exception_outside_of_the_views_is_500_too(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    boom = RuntimeError("a secret of ours")
    async with serving() as server:

        @server.app.before_request
        async def fail() -> None:
            await trio.lowlevel.checkpoint()
            raise boom

        async with server.request("GET", "/healthz") as exchange:
            assert await exchange.status() == 500
            assert "secret" not in (await refusal(exchange))["message"]
    assert [e["exc_info"] for e in logged.entries if e["event"] == "request_failed"] == [boom]


async def test_an_exception_while_a_response_is_finished_is_500_too(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    """Quart wraps this one in an error of its own."""
    boom = RuntimeError("a secret of ours")
    async with serving() as server:

        @server.app.after_request
        async def fail(response: object) -> None:
            await trio.lowlevel.checkpoint()
            raise boom

        async with server.request("GET", "/healthz") as exchange:
            assert await exchange.status() == 500
            assert "secret" not in (await refusal(exchange))["message"]
    assert [e["exc_info"] for e in logged.entries if e["event"] == "request_failed"] == [boom]


async def test_an_error_needs_no_thread(autojump_clock: MockClock) -> None:
    """A refusal must not wait until a thread is free."""
    limiter = trio.to_thread.current_default_thread_limiter()
    async with serving() as server:
        limiter.total_tokens = 1
        try:
            await limiter.acquire_on_behalf_of("somebody else")
            with trio.fail_after(60):
                for path in ("/nowhere", "/v1/models"):
                    async with server.request("GET", path) as exchange:
                        assert await exchange.status() in (401, 404)
                async with server.request("POST", "/healthz") as exchange:
                    assert await exchange.status() == 405
        finally:
            limiter.release_on_behalf_of("somebody else")
