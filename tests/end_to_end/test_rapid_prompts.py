"""Fifty prompts, twenty milliseconds apart, one session: seen from the upstream's sockets."""

from functools import partial
from typing import Any

import httpx
import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.processes import KEY, NOBODY, Server, Sim

PROMPTS = 50
GAP_SECONDS = 0.02


def assert_never_two_at_once(events: list[dict[str, Any]]) -> None:
    """I1, I2: each predecessor's connection was closed before its successor's request arrived."""
    open_marker: str | None = None
    for event in events:
        if event["kind"] == "arrival":
            assert open_marker is None, f"{event['marker']} arrived while {open_marker} was open"
            open_marker = event["marker"]
        elif event["kind"] in ("closed", "finished") and event["marker"] == open_marker:
            open_marker = None
    assert open_marker is None


async def test_fifty_prompts_leave_one_answer_and_no_overlap(server: Server, sim: Sim) -> None:
    answers = [Exchange() for _ in range(PROMPTS)]
    begin = trio.current_time()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number, answer in enumerate(answers):
                await trio.sleep_until(begin + number * GAP_SECONDS)
                nursery.start_soon(
                    partial(
                        prompt,
                        server.url,
                        f"say marker:rapid-{number}",
                        session="rapid-50",
                        exchange=answer,
                    )
                )
    stats = sim.wait_until_all_closed()
    assert stats["max_open"] == 1
    assert stats["open"] == 0
    assert_never_two_at_once(sim.get("events")["events"])

    complete = [answer for answer in answers if answer.is_complete]
    superseded = [answer for answer in answers if answer.error_code == "superseded"]
    assert len(complete) == 1
    assert len(superseded) == PROMPTS - 1
    assert complete[0].text == "".join(f"w{i} " for i in range(60))
    streamed = [answer for answer in superseded if answer.status == 200]
    assert all(answer.ends_with_done for answer in streamed)
    # Where the machine stutters, one is superseded before the upstream has accepted it, or before
    # its own start.
    refused = [answer for answer in superseded if answer.status == 409]
    assert len(streamed) + len(refused) == PROMPTS - 1
    assert all(answer.headers["x-should-retry"] == "false" for answer in refused)
    server.wait_until_idle()


@pytest.mark.parametrize(
    ("phase", "model"),
    [
        ("connect", "sim-hang"),
        ("prefill", "sim-silent"),
        ("decode", "sim?tokens=5000"),
        ("stalled", "sim-stall?at=5"),
    ],
)
async def test_supersede_in_every_phase_closes_the_upstream_first(
    server: Server, sim: Sim, phase: str, model: str
) -> None:
    first = Exchange()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(
                    prompt, server.url, "marker:old", session=phase, exchange=first, model=model
                )
            )
            await sim.wait_for("old", "arrival")
            second = await prompt(server.url, "marker:new", session=phase, model="sim")
    assert second.is_complete
    assert first.error_code == "superseded"
    sim.wait_until_all_closed()
    assert_never_two_at_once(sim.get("events")["events"])


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", ["sim-hang", "sim-silent", "sim?tokens=5000"])
async def test_a_client_that_leaves_closes_the_upstream(
    server: Server, sim: Sim, model: str, streaming: bool
) -> None:
    """I10: also for stream=false, also before the upstream has answered."""
    body = {"prompt": "marker:left", "stream": streaming, "model": model}
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                async with httpx.AsyncClient(timeout=60, trust_env=False, verify=NOBODY) as client:
                    url = f"{server.url}/v1/chat/completions"
                    await client.post(url, json=body, headers=KEY)

            nursery.start_soon(ask)
            await sim.wait_for("left", "arrival")
            nursery.cancel_scope.cancel(reason="the client leaves")
    sim.wait_until_all_closed()
    kinds = [event["kind"] for event in sim.get("events")["events"]]
    assert kinds[-1] == "closed"
    assert "finished" not in kinds
    server.wait_until_idle()
