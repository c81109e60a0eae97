"""The user's own test plan: five tests by hand, and the stability test, as they wrote them."""

from functools import partial

import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.processes import KEY, Server, fetch

SUPERSEDE_IN_ORDER = [
    "stream_cancelled",
    "flush_on_cleanup",
    "cleanup_flush_task",
    "cleanup_buffer",
    "event_buffers_cleaned",
    "cleanup_request_complete",
    "stream_end",
    "prev_stream_finished_cleanly",
]
ANSWER_IN_ORDER = [
    "stream_start",
    "first_event",
    "flush_start",
    "flush_done",
    "event_buffers_cleaned",
    "cleanup_request_complete",
    "stream_end",
]


def in_order(events: list[str], expected: list[str]) -> bool:
    """Say whether ``expected`` is a subsequence of ``events``."""
    rest = iter(events)
    return all(name in rest for name in expected)


async def test_1_a_normal_prompt_streams(simulated_server: Server) -> None:
    answer = await prompt(simulated_server.url, "Hello", trace="plan-1")
    assert answer.is_complete
    assert len(answer.chunks) > 3
    simulated_server.wait_for_log("stream_end", trace="plan-1", cleanup_done="True")
    events = simulated_server.events("plan-1")
    assert in_order(events, ANSWER_IN_ORDER)
    assert "stream_cancelled" not in events


async def test_2_a_client_that_is_killed_frees_everything(simulated_server: Server) -> None:
    exchange = Exchange()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                prompt,
                simulated_server.url,
                "Write a very long poem",
                exchange=exchange,
                trace="plan-2",
            )
        )
        with trio.fail_after(10):
            await exchange.first_text.wait()
        nursery.cancel_scope.cancel(reason="the user kills curl")
    simulated_server.wait_for_log("stream_end", trace="plan-2", cause="client_disconnect")
    events = simulated_server.events("plan-2")
    assert in_order(events, ["stream_disconnected", "stream_cancelled", "stream_end"])


async def test_3_a_second_prompt_takes_over_at_once(simulated_server: Server) -> None:
    """The critical one: B arrives while A streams; A is cancelled, B answers, in this order."""
    server = simulated_server
    first = Exchange()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                prompt,
                server.url,
                "Write a 10 paragraph essay",
                session="plan-3",
                exchange=first,
                trace="plan-3-A",
            )
        )
        with trio.fail_after(10):
            await first.first_text.wait()
            second = await prompt(server.url, "What is 2+2?", session="plan-3", trace="plan-3-B")
    assert second.is_complete
    assert "4" in second.text
    assert first.error_code == "superseded"
    assert first.ends_with_done
    assert first.text
    superseded_by = [c["error"]["superseded_by"] for c in first.chunks if "error" in c]
    assert superseded_by == [second.headers["X-Stream-Id"]]

    server.wait_for_log("stream_end", trace="plan-3-B", cleanup_done="True")
    lines = [line for line in server.log() if line.get("session") == "plan-3"]
    a_lines = [line["event"] for line in lines if line["trace"] == "plan-3-A"]
    b_lines = [line["event"] for line in lines if line["trace"] == "plan-3-B"]
    assert in_order(a_lines, ["stream_start", *SUPERSEDE_IN_ORDER])
    assert in_order(b_lines, ANSWER_IN_ORDER)
    told = [(line["event"], line["trace"]) for line in lines]
    assert told.index(("prev_stream_finished_cleanly", "plan-3-A")) < told.index(
        ("stream_start", "plan-3-B")
    )
    cancelled = next(line for line in lines if line["event"] == "stream_cancelled")
    assert cancelled["reason"] == "registry_new_stream"


async def test_4_five_rapid_prompts_without_a_session_all_complete(
    simulated_server: Server,
) -> None:
    answers = [Exchange() for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for number, answer in enumerate(answers):
            nursery.start_soon(
                partial(prompt, simulated_server.url, f"Prompt {number}", exchange=answer)
            )
            await trio.sleep(0.05)
    assert all(answer.is_complete for answer in answers)


async def test_5_two_sessions_do_not_interfere(simulated_server: Server) -> None:
    url = simulated_server.url
    essay, other = Exchange(), Exchange()
    alone = await prompt(url, "Write an essay in 2 paragraphs about rivers")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(prompt, url, "Write a long essay", session="plan-5-1", exchange=essay)
        )
        nursery.start_soon(
            partial(
                prompt,
                url,
                "Write an essay in 2 paragraphs about rivers",
                session="plan-5-2",
                exchange=other,
            )
        )
        with trio.fail_after(10):
            await essay.first_text.wait()
            await other.first_text.wait()
        second = await prompt(url, "What is 1+1?", session="plan-5-1")
    assert second.is_complete
    assert essay.error_code == "superseded"
    assert other.is_complete
    assert other.text == alone.text


@pytest.mark.parametrize("iteration", range(1, 6))
async def test_rapid_requests_iteration(simulated_server: Server, iteration: int) -> None:
    """Send A, and 50 ms after it was taken send B, without a Stop.

    Before it is taken: ``test_rapid_prompts``.
    """
    first = Exchange()
    session = f"rapid-{iteration}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                prompt,
                simulated_server.url,
                "Long essay about tea",
                session=session,
                exchange=first,
            )
        )
        with trio.fail_after(10):
            await first.started.wait()  # A has come first, however busy the machine is
            await trio.sleep(0.05)
            second = await prompt(simulated_server.url, "What is 2+2?", session=session)
    assert second.is_complete
    assert first.error_code == "superseded"


async def test_ten_streams_in_a_row(simulated_server: Server) -> None:
    for number in range(10):
        with trio.fail_after(10):
            answer = await prompt(
                simulated_server.url, f"What is {number}+{number}?", session="in-a-row"
            )
        assert answer.is_complete
        assert str(2 * number) in answer.text


def test_at_rest_every_stream_that_started_has_ended(simulated_server: Server) -> None:
    """Runs last in this file, so that it counts all of it."""
    simulated_server.wait_until_idle()
    log = simulated_server.log()
    starts = [line for line in log if line["event"] == "stream_start"]
    ends = [line for line in log if line["event"] == "stream_end"]
    assert len(starts) == len(ends) > 10
    assert all(line["cleanup_done"] == "True" for line in ends)
    assert not [line for line in log if line["event"] == "prev_stream_timeout_on_cancel"]
    metrics = fetch(f"{simulated_server.url}/metrics", KEY).text
    assert "jarvis_streams_live 0.0" in metrics
