"""``GET /v1/ops``: what a page that polls it can tell of the server, to whom, at what price."""

import itertools
from hashlib import sha256
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.overview import MOST_SHOWN
from jarvis_trio.errors import UpstreamDownError, UpstreamTimeoutError
from jarvis_trio.events import Cause, Text
from jarvis_trio.observe.over_time import PIECE_SECONDS, PIECES
from tests.scripted import Play, words
from tests.web.server import FailingModels, Server, by_prompt, refusal, serving, stuck_in

OPS = "/v1/ops"
KEYS: dict[str, Any] = {"api_keys": ("mine", "other"), "admin_keys": ("root",)}
CONTINUE = {"X-On-Disconnect": "continue"}
OWNER = sha256(b"mine").hexdigest()
FAR = ("192.0.2.7", 5555)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def overview(server: Server, key: str = "devkey") -> dict[str, Any]:
    async with server.request("GET", OPS, headers=bearer(key)) as exchange:
        assert await exchange.status() == 200
        assert exchange.headers["cache-control"] == "no-store"
        told: dict[str, Any] = await exchange.json()
        return told


async def test_an_idle_server_tells_who_it_is_and_that_nothing_was(
    autojump_clock: MockClock,
) -> None:
    async with serving() as server:
        await trio.sleep(12.3)
        told = await overview(server)
    assert told["uptime_s"] == 12.3
    assert told["upstream"] == "scripted"
    assert told["version"]
    assert told["pid"]
    assert told["sees"] == "all"
    assert (told["is_draining"], told["trouble"], told["history_waiting"]) == (False, None, 0)
    assert (told["streams"], told["streams_total"]) == ([], 0)
    assert set(told["totals"].pop("ended")) == set(Cause)
    assert set(told["totals"].values()) == {0}
    assert set(told["cancel_latency"]["counts"]) == {0}
    assert told["lately"]["begun"] == [0, 0, 0]


async def test_a_live_answer_is_told_with_how_far_it_is_and_who_reads(
    autojump_clock: MockClock,
) -> None:
    play = Play(Text("a"), 1.0, Text("b"), 1.0, Text("c"), trio.Event())
    async with serving(lambda _: play) as server, server.chat(session="demo") as live:
        assert await live.status() == 200
        await trio.sleep(12.3)
        (card,) = (await overview(server))["streams"]
        stream_id = live.headers["x-stream-id"]
        assert card == {
            "stream_id": stream_id,
            "session_id": "demo",
            "model": None,
            "phase": "decode",
            "cause": None,
            "age_s": 12.3,
            "ending_s": None,
            "quarantined": False,
            "tokens_sent": 3,
            "retries": 0,
            "readers": 1,
            "behind_bytes": 0,
            "lives_on": False,
            "grace_left_s": None,
        }
        path = f"/v1/streams/{stream_id}"
        async with server.request("GET", path, headers=bearer("devkey")) as second:
            assert await second.status() == 200
            assert (await overview(server))["streams"][0]["readers"] == 2


async def test_how_far_behind_the_slowest_reader_is_shows(autojump_clock: MockClock) -> None:
    big = Play(Text("x" * 5000), 1.0, Text("y" * 5000), trio.Event())
    async with serving(lambda _: big) as server, server.chat(reads=1) as live:
        assert await live.status() == 200
        await trio.sleep(5)
        (card,) = (await overview(server))["streams"]
        assert 5000 < card["behind_bytes"] < 6000


async def test_one_that_nobody_reads_tells_how_long_it_lives_on(autojump_clock: MockClock) -> None:
    async with serving(lambda _: stuck_in("decode"), resume_grace_s=30) as server:
        async with server.chat(headers=CONTINUE) as live:
            assert await live.status() == 200
            (card,) = (await overview(server))["streams"]
            assert (card["readers"], card["lives_on"], card["grace_left_s"]) == (1, True, None)
        await trio.sleep(10)
        (card,) = (await overview(server))["streams"]
        assert (card["readers"], card["lives_on"], card["grace_left_s"]) == (0, True, 20.0)
        await trio.sleep(21)
        told = await overview(server)
        assert told["streams"] == []
        assert told["totals"]["ended"]["client_disconnect"] == 1


async def test_one_that_hangs_in_its_cleanup_comes_first_and_is_counted(
    autojump_clock: MockClock,
) -> None:
    let_go = trio.Event()
    script = by_prompt(
        old=stuck_in("decode"),
        A=stuck_in("decode", close_hangs_until=let_go),
        B=stuck_in("decode"),
    )
    async with serving(script, cleanup_timeout_s=2) as server, server.chat("old") as old:
        assert await old.status() == 200
        await trio.sleep(1)
        async with server.chat("A", session="s") as a:
            assert await a.status() == 200
            await trio.sleep(1)
            async with server.chat("B", session="s") as b:
                await trio.sleep(1.5)
                told = await overview(server)
                seen = [(c["phase"], c["cause"], c["ending_s"]) for c in told["streams"]]
                assert seen == [
                    ("decode", None, None), ("decode", "superseded", 1.5), ("queued", None, None)
                ]  # fmt: skip
                assert await b.status() == 200
                await trio.sleep(1)
                told = await overview(server)
                hanging = told["streams"][0]
                assert hanging["stream_id"] == a.headers["x-stream-id"]
                assert (hanging["quarantined"], hanging["phase"]) == (True, "ended")
                assert told["totals"]["quarantined"] == 1
                assert sum(told["lately"]["quarantined"]) == 1
                assert sum(told["cancel_latency"]["counts"]) == 0, "it has not ended yet"
                let_go.set()
                await wait_all_tasks_blocked()
                told = await overview(server)
                assert told["cancel_latency"]["counts"][-1] == 1
                assert len(told["streams"]) == 2


async def test_a_key_sees_its_own_streams_and_an_administrator_all(
    autojump_clock: MockClock,
) -> None:
    async with (
        serving(lambda _: stuck_in("decode"), **KEYS) as server,
        server.chat(session="secret-plan", headers=bearer("other")) as theirs,
        server.chat(session="s", headers=bearer("mine")) as mine,
    ):
        for live in (theirs, mine):
            assert await live.status() == 200
        told = await overview(server, "mine")
        assert told["sees"] == "own"
        assert told["streams_total"] == 1
        assert [card["session_id"] for card in told["streams"]] == ["s"]
        assert theirs.headers["x-stream-id"] not in str(told)
        assert told["totals"]["begun"] == 2, "which /metrics tells anybody"
        told = await overview(server, "root")
        assert (told["sees"], told["streams_total"]) == ("all", 2)
        assert {card["session_id"] for card in told["streams"]} == {"secret-plan", "s"}


async def test_it_tells_neither_prompts_nor_answers_nor_keys(autojump_clock: MockClock) -> None:
    async with (
        serving(lambda _: words("ANSWER", "b", gap=30), **KEYS) as server,
        server.chat("my diary", headers=bearer("mine")) as live,
    ):
        assert await live.status() == 200
        await trio.sleep(35)
        told = str(await overview(server, "root"))
        assert live.headers["x-stream-id"] in told
        for secret in ("diary", "ANSWER", "mine", "root", OWNER[:8]):
            assert secret not in told


@pytest.mark.parametrize(
    ("settings", "key", "client"),
    [({}, "wrong", None), (KEYS, "devkey", None), ({}, "devkey", FAR)],
)
async def test_who_has_no_key_of_ours_sees_nothing(
    autojump_clock: MockClock, settings: dict[str, Any], key: str, client: tuple[str, int] | None
) -> None:
    async with (
        serving(**settings) as server,
        server.request(
            "GET", OPS, headers=bearer(key), client=client or ("127.0.0.1", 1234)
        ) as exchange,
    ):
        assert await exchange.status() == 401
        assert (await refusal(exchange))["code"] == "invalid_api_key"


async def test_of_very_many_the_oldest_are_told_and_how_many_there_are(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: stuck_in("decode")) as server, trio.open_nursery() as nursery:

        async def ask(number: int) -> None:
            async with server.chat(session=f"s{number}") as live:
                await live.read()

        for number in range(MOST_SHOWN + 7):
            nursery.start_soon(ask, number)
            await trio.sleep(0.01)
        told = await overview(server)
        assert told["streams_total"] == MOST_SHOWN + 7
        assert [card["session_id"] for card in told["streams"]] == [
            f"s{number}" for number in range(MOST_SHOWN)
        ]
        nursery.cancel_scope.cancel(reason="enough seen")


async def test_what_happened_is_counted_by_cause_and_cancels_by_how_long_they_took(
    autojump_clock: MockClock,
) -> None:
    slow = Play(Text("a"), trio.Event(), close_takes_seconds=0.04)
    down = Play(before_accept=[UpstreamDownError("it is not there")])
    script = by_prompt(slow=slow, quick=stuck_in("decode"), fine=words("a"), down=down)
    async with serving(script, upstream_retries=1) as server:
        for prompt in ("slow", "quick"):  # their clients leave
            async with server.chat(prompt) as live:
                assert await live.status() == 200
                await wait_all_tasks_blocked()
        async with server.chat("quick") as live:
            assert await live.status() == 200
            path = f"/v1/streams/{live.headers['x-stream-id']}/cancel"
            async with server.request("POST", path, headers=bearer("devkey")) as stop:
                assert await stop.status() == 200
        async with server.chat("fine") as live:
            await live.read()
        async with server.chat("down") as live:
            assert await live.status() == 502
        told = await overview(server)
    totals = told["totals"]
    ended = {cause: count for cause, count in totals.pop("ended").items() if count}
    assert ended == {"client_disconnect": 2, "stopped": 1, "completed": 1, "upstream_error": 1}
    assert (totals["begun"], totals["retries"]) == (5, 1)
    latency = told["cancel_latency"]
    assert len(latency["counts"]) == len(latency["bounds_ms"]) + 1
    bounds = [*latency["bounds_ms"], None]
    counted = {bound: n for bound, n in zip(bounds, latency["counts"], strict=True) if n}
    assert counted == {0.5: 2, 50: 1}, "what came to its end by itself is no cancel"


async def test_who_looks_after_an_incident_still_sees_when_it_was_for_five_minutes(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: stuck_in("decode")) as server:
        await trio.sleep(2 * PIECE_SECONDS + 1)
        async with server.chat() as live:
            assert await live.status() == 200
            await trio.sleep(PIECE_SECONDS)
        await trio.sleep(PIECE_SECONDS)
        lately = (await overview(server))["lately"]
        assert lately["piece_seconds"] == PIECE_SECONDS
        assert lately["begun"] == [0, 0, 1, 0, 0]
        assert lately["live"] == [0, 0, 1, 0, 0]
        assert lately["ended"]["client_disconnect"] == [0, 0, 0, 1, 0]
        assert lately["ended"]["stopped"] == [0] * 5
        await trio.sleep((PIECES - 2) * PIECE_SECONDS)
        lately = (await overview(server))["lately"]
        assert lately["begun"] == [1, *[0] * PIECES], "the oldest of those that are told"
        await trio.sleep(PIECE_SECONDS)
        lately = (await overview(server))["lately"]
        assert lately["begun"] == [0] * (PIECES + 1)
        assert lately["ended"]["client_disconnect"] == [1, *[0] * PIECES]


async def test_known_trouble_is_told_and_nobody_is_asked(autojump_clock: MockClock) -> None:
    """The model server hangs when it is asked for its models; nobody waits for that."""
    provider = FailingModels(None)
    times = itertools.count()
    provider.script = lambda _: (
        Play(UpstreamTimeoutError("scripted sent nothing")) if next(times) == 0 else words("a")
    )
    async with serving(provider=provider) as server:
        await trio.sleep(60)
        async with server.chat() as live:
            await live.read()
        began = trio.current_time()
        told = await overview(server)
        assert trio.current_time() == began
        assert told["trouble"] == "scripted sent nothing"
        async with server.chat() as live:
            await live.read()
        assert (await overview(server))["trouble"] is None
