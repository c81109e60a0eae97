"""What operators ask: is it alive, can it answer, what has it counted."""

from functools import partial

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.errors import UpstreamError
from jarvis_trio.events import Model
from jarvis_trio.web.connection import DRAIN
from jarvis_trio.web.drain import Drain
from tests.scripted import Play, ScriptedProvider, words
from tests.web.server import FailingModels, by_prompt, refusal, serving, stuck_in

FAR = ("192.0.2.7", 5555)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/"])
async def test_operators_need_no_key_and_may_come_through_a_proxy(
    autojump_clock: MockClock, path: str
) -> None:
    headers = {"X-Forwarded-For": "192.0.2.9"}
    async with (
        serving(api_keys=("mine",)) as server,
        server.request("GET", path, client=FAR, headers=headers) as exchange,
    ):
        assert await exchange.status() == 200


async def test_a_live_process_says_ok(autojump_clock: MockClock) -> None:
    async with serving(provider=FailingModels(None)) as server:
        async with server.request("GET", "/healthz") as exchange:
            assert await exchange.status() == 200
            assert await exchange.json() == {"status": "ok"}
        assert trio.current_time() == 0


async def test_a_server_whose_upstream_answers_is_ready(autojump_clock: MockClock) -> None:
    async with serving() as server, server.request("GET", "/readyz") as exchange:
        assert await exchange.status() == 200
        assert await exchange.json() == {"status": "ready", "upstream": "scripted"}


async def test_a_server_whose_upstream_fails_is_not_ready_and_says_why(
    autojump_clock: MockClock,
) -> None:
    """What the upstream said may quote a prompt, and this route needs no key."""
    failure = UpstreamError("scripted answered 500", said="your prompt was …")
    async with (
        serving(provider=FailingModels(failure)) as server,
        server.request("GET", "/readyz") as exchange,
    ):
        assert await exchange.status() == 503
        assert await exchange.json() == {
            "status": "not_ready",
            "upstream": "scripted",
            "reason": "scripted answered 500",
        }


async def test_a_server_whose_upstream_hangs_is_not_ready_in_bounded_time(
    autojump_clock: MockClock,
) -> None:
    async with serving(provider=FailingModels(None), connect_timeout_s=3) as server:
        before = trio.current_time()
        async with server.request("GET", "/readyz") as exchange:
            assert await exchange.status() == 503
            assert trio.current_time() - before == 3
            assert (await exchange.json())["reason"] == "scripted does not answer"


async def test_an_upstream_that_lists_models_but_gives_no_token_is_told_as_degraded(
    autojump_clock: MockClock,
) -> None:
    """It stays in service: only a prompt can find out that it answers again."""
    script = by_prompt(silent=stuck_in("prefill"), whole=words("a"))
    async with serving(script, first_token_timeout_s=5) as server:
        async with server.chat("silent", session="s") as exchange:
            assert b'"code":"upstream_timeout"' in await exchange.read()
        async with server.request("GET", "/readyz") as probe:
            assert await probe.status() == 200
            told = await probe.json()
        assert (told["status"], told["upstream"]) == ("degraded", "scripted")
        assert told["reason"].startswith("scripted sent nothing for 5 s")
        assert "(prefill)" in told["reason"]
        async with server.chat("whole", session="s") as exchange:
            assert b'"finish_reason":"stop"' in await exchange.read()
        async with server.request("GET", "/readyz") as probe:
            assert (await probe.json())["status"] == "ready"


async def test_readiness_of_an_upstream_that_breaks_our_code_is_500(
    autojump_clock: MockClock,
) -> None:
    provider = FailingModels(UpstreamError("down"))
    async with serving(provider=provider) as server:
        await wait_all_tasks_blocked()  # what is logged at the start has asked for models too
        provider.failure = RuntimeError("boom")
        async with server.request("GET", "/readyz") as exchange:
            assert await exchange.status() == 500
            assert (await refusal(exchange))["code"] == "internal_error"


async def test_metrics_count_live_streams_and_ends_by_cause(autojump_clock: MockClock) -> None:
    script = by_prompt(
        live=stuck_in("decode"),
        whole=words("a"),
        broken=Play(UpstreamError("gone")),
    )
    async with serving(script) as server:
        async with server.request("GET", "/metrics") as exchange:
            assert await exchange.status() == 200
            assert exchange.headers["content-type"].startswith("text/plain; version=0.0.4")
            told = (await exchange.read()).decode()
        for name in ("jarvis_streams_live", "jarvis_streams_ended", "jarvis_streams_quarantined"):
            assert f"# HELP {name}" in told
        async with server.chat("live") as live:
            assert await live.status() == 200
            for prompt in ("whole", "whole", "broken"):
                async with server.chat(prompt) as other:
                    await other.read()
            assert await server.metric("jarvis_streams_live") == 1
            live.disconnect()
            await wait_all_tasks_blocked()
        assert await server.metric("jarvis_streams_live") == 0
        ended = {"completed": 2, "upstream_error": 1, "client_disconnect": 1}
        for cause, count in ended.items():
            assert await server.metric(f'jarvis_streams_ended_total{{cause="{cause}"}}') == count
        assert await server.metric("jarvis_streams_quarantined_total") == 0


async def test_the_front_page_tells_where_to_go(autojump_clock: MockClock) -> None:
    async with serving() as server, server.request("GET", "/") as exchange:
        assert await exchange.status() == 200
        assert exchange.headers["content-type"] == "text/plain; charset=utf-8"
        assert b"/v1/chat/completions" in await exchange.read()


async def test_a_head_request_is_answered_as_a_get(autojump_clock: MockClock) -> None:
    async with serving() as server, server.request("HEAD", "/healthz") as exchange:
        assert await exchange.status() == 200


async def test_the_log_warns_of_the_default_key_and_says_which_model_answers(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    async with serving():
        await wait_all_tasks_blocked()
    told = {entry["event"]: entry for entry in logged.entries}
    assert "JARVIS_API_KEYS" in told["default_key"]["hint"]
    assert told["server_ready"]["model"] == "scripted-model"


async def test_probes_ask_the_upstream_only_every_two_seconds(autojump_clock: MockClock) -> None:
    """They need no key; however often they come, the upstream has its peace."""

    class Counting(ScriptedProvider):
        asked = 0

        async def models(self) -> list[Model]:
            self.asked += 1
            return await super().models()

    provider = Counting(words)
    async with serving(provider=provider) as server:
        await wait_all_tasks_blocked()
        before = provider.asked
        for expected in (1, 1, 2):
            for _ in range(5):
                async with server.request("GET", "/readyz") as exchange:
                    assert await exchange.status() == 200
            assert provider.asked - before == expected
            await trio.sleep(1)


async def test_probes_that_come_at_once_ask_the_upstream_once(autojump_clock: MockClock) -> None:
    class Slow(ScriptedProvider):
        asked = 0

        async def models(self) -> list[Model]:
            self.asked += 1
            await trio.sleep(1)
            return await super().models()

    provider = Slow(words)
    statuses: list[int] = []
    async with serving(provider=provider) as server:
        await trio.sleep(2)  # what is logged at the start has asked too
        before = provider.asked

        async def probe(*, leaves: bool = False) -> None:
            async with server.request("GET", "/readyz") as exchange:
                if leaves:
                    exchange.disconnect()
                else:
                    statuses.append(await exchange.status())

        async with trio.open_nursery() as probes:
            probes.start_soon(partial(probe, leaves=True))  # who asks leaves, and the next one asks
            await wait_all_tasks_blocked()
            for _ in range(20):
                probes.start_soon(probe)
    assert statuses == [200] * 20
    assert provider.asked - before == 2


async def test_a_live_answer_tells_that_a_silent_upstream_speaks_again(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(silent=stuck_in("prefill"), live=stuck_in("decode"))
    async with serving(script, first_token_timeout_s=5, idle_timeout_s=5) as server:
        async with server.chat("silent") as exchange:
            await exchange.read()
        await trio.sleep(1)
        for prompt, status in (("", "degraded"), ("live", "ready")):
            async with server.chat(prompt or "silent") as exchange:
                await wait_all_tasks_blocked()
                async with server.request("GET", "/readyz") as probe:
                    assert (await probe.json())["status"] == status
                if prompt:  # that it falls silent later is another matter
                    assert b'"code":"upstream_timeout"' in await exchange.read()
        async with server.request("GET", "/readyz") as probe:
            assert (await probe.json())["status"] == "ready"


async def test_a_draining_server_is_not_ready_and_takes_no_prompt(
    autojump_clock: MockClock,
) -> None:
    async with serving(  # noqa: SIM117 - the client leaves before the server
        lambda _: stuck_in("decode"), graceful_timeout_s=5
    ) as server:
        async with server.chat() as live:
            assert await live.status() == 200
            drain: Drain = server.app.extensions[DRAIN]
            drain.begin()
            async with server.request("GET", "/readyz") as exchange:
                assert await exchange.status() == 503
                assert (await exchange.json())["status"] == "draining"
            async with server.chat() as refused:
                assert await refused.status() == 503
                assert refused.headers["retry-after"]
                assert (await refusal(refused))["code"] == "server_shutdown"
            asked_at = trio.current_time()
            assert b'"code":"server_shutdown"' in await live.read()
            assert trio.current_time() - asked_at == pytest.approx(5)
