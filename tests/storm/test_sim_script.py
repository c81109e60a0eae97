"""What answers do can be changed while the sim runs, for gateways that pass no model's name on."""

import json

import pytest
import trio

from tests.storm.raw_client import Answer, Api, SimClient, text, words

APIS = pytest.mark.parametrize("api", ["openai", "ollama"])


async def script(sim: SimClient, **line: str | None) -> Answer:
    return await sim.request("POST", "/sim/script", json.dumps(line).encode())


@APIS
async def test_a_marker_has_its_own_line_and_the_others_have_theirs(
    sim: SimClient, api: Api
) -> None:
    with trio.fail_after(5):
        assert (await script(sim, model="sim?tokens=2", marker="short")).status == 200
        assert (await script(sim, model="sim-refuse?status=429")).status == 200
        assert (await sim.chat(api, "sim", "marker:other")).status == 429
        assert text(api, await sim.chat(api, "sim-hang", "marker:short")) == words(2)


@APIS
async def test_a_line_can_be_taken_back(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        await script(sim, model="sim-refuse", marker="x")
        await script(sim, model="sim?tokens=1")
        assert (await script(sim, model=None, marker="x")).status == 200
        assert text(api, await sim.chat(api, "sim?tokens=3", "marker:x")) == words(1)
        assert (await script(sim, model=None)).status == 200
        assert text(api, await sim.chat(api, "sim?tokens=3", "marker:x")) == words(3)


async def test_a_reset_forgets_the_script(sim: SimClient) -> None:
    with trio.fail_after(5):
        await script(sim, model="sim-refuse")
        await script(sim, model="sim-refuse", marker="x")
        await sim.request("POST", "/sim/reset")
        assert (await sim.chat("openai", "sim?tokens=1", "marker:x")).status == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"model": 3}', b'{"model": "gpt-4"}', b'{"model": "sim?speed=1"}',
     b'{"model": "sim", "mark": "x"}'],
)  # fmt: skip
async def test_a_line_that_means_nothing_is_refused_and_changes_nothing(
    sim: SimClient, body: bytes
) -> None:
    with trio.fail_after(5):
        refused = await sim.request("POST", "/sim/script", body)
        assert refused.status in (400, 404)
        assert refused.json()["error"]["message"]
        assert text("openai", await sim.chat("openai", "sim?tokens=2")) == words(2)


async def test_an_answer_that_closes_ends_its_connection(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask("openai", "sim?tokens=1")
            first = await connection.read()
            assert (first.ended, first.headers["connection"]) == ("complete", "keep-alive")
            await connection.ask("openai", "sim?tokens=1&close=1")
            second = await connection.read()
            assert (second.ended, second.headers["connection"]) == ("complete", "close")
            assert await connection.is_closed_by_peer()


async def test_clients_find_what_they_look_at_before_they_ask(sim: SimClient) -> None:
    with trio.fail_after(5):
        assert await sim.get("/health") == {"status": "ok"}
        assert (await sim.request("GET", "/")).status == 200
        shown = (await sim.request("POST", "/api/show", b'{"model": "sim-die"}')).json()
        assert shown["capabilities"] == ["completion"]
        assert (await sim.request("POST", "/api/show", b'{"name": "gpt"}')).status == 404
