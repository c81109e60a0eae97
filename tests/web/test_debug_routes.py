"""``GET /debug/tasks``: what an administrator sees of a running server, and nobody else."""

import re
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.scripted import words
from tests.web.server import DEVKEY, Server, by_prompt, refusal, serving, stuck_in

TASKS = "/debug/tasks"
CULPRIT = r"tests/scripted\.py:\d+ ScriptedAnswer\.__aexit__ in Event\.wait"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def report_of(server: Server, key: str = "devkey") -> str:
    async with server.request("GET", TASKS, headers=bearer(key)) as exchange:
        assert await exchange.status() == 200
        assert exchange.headers["content-type"] == "text/plain; charset=utf-8"
        assert exchange.headers["cache-control"] == "no-store"
        return (await exchange.read()).decode()


def lines_of(report: str, start: str) -> list[str]:
    """Return the line that starts so, and the deeper ones below it."""
    lines = report.splitlines()
    first = next(n for n, line in enumerate(lines) if line.lstrip().startswith(start))
    depth = len(lines[first]) - len(lines[first].lstrip())
    found = [lines[first]]
    for line in lines[first + 1 :]:
        if len(line) - len(line.lstrip()) <= depth:
            break
        found.append(line)
    return found


@pytest.mark.parametrize("phase", ["connect", "prefill", "decode"])
async def test_a_stream_is_shown_in_its_session_with_its_phase_age_and_tasks(
    autojump_clock: MockClock, phase: str
) -> None:
    async with serving(lambda _: stuck_in(phase)) as server, server.chat(session="demo") as live:
        await wait_all_tasks_blocked()
        await trio.sleep(12.3)
        assert await live.status() == 200
        report = await report_of(server)
        session, stream = lines_of(report, "session demo")
        assert session == "session demo"
        stream_id = live.headers["x-stream-id"]
        assert re.match(
            rf"  {stream_id} +{phase} age=12\.3s at tests/scripted\.py:\d+ \S+ in ", stream
        )
        assert not re.search("cancelled|shielded|cause|quarantined", stream)


async def test_a_stream_that_hangs_in_its_cleanup_is_shown_with_who_holds_it(
    autojump_clock: MockClock, logged: structlog.testing.LogCapture
) -> None:
    """Cancelled, then quarantined; its successor waits, then lives. The log names the culprit."""
    let_go = trio.Event()
    script = by_prompt(A=stuck_in("decode", close_hangs_until=let_go), B=stuck_in("decode"))
    async with serving(script, cleanup_timeout_s=2) as server, server.chat("A", session="s") as a:
        assert await a.status() == 200
        await trio.sleep(1)
        async with server.chat("B", session="s") as b:
            await trio.sleep(0.5)
            report = await report_of(server)
            _, held, waiting = lines_of(report, "session s")
            told = r" shielded from a cancel +decode age=1\.5s cause=superseded at "
            assert re.search(told + CULPRIT, held)
            assert re.search(r" queued age=0\.5s at engine/sessions\.py", waiting)
            assert not [e for e in logged.entries if e["event"] == "cancel_overdue"]

            await trio.sleep(2)
            assert await b.status() == 200
            _, held, successor = lines_of(await report_of(server), "session s")
            assert re.search(" ended age=3.5s cause=superseded quarantined at " + CULPRIT, held)
            assert " decode age=2.5s at " in successor
            (overdue,) = [e for e in logged.entries if e["event"] == "cancel_overdue"]
            assert overdue["stream_id"] == a.headers["x-stream-id"]
            stream_id = a.headers["x-stream-id"]
            told = rf"^stream {stream_id} \(shielded from a cancel\) "
            assert re.search(told + CULPRIT, overdue["tasks"])
            assert "\n" not in overdue["tasks"]
        let_go.set()


async def test_sessions_come_in_the_order_of_their_prompts_and_count(
    autojump_clock: MockClock,
) -> None:
    async with (
        serving(lambda _: stuck_in("decode"), admin_keys=("root", "other")) as server,
        server.chat(session="b", headers=bearer("root")) as first,
    ):
        await trio.sleep(1)
        async with (
            server.chat(session="a", headers=bearer("root")) as second,
            server.chat(session="b", headers=bearer("other")) as third,
        ):
            for live in (first, second, third):
                assert await live.status() == 200
            report = await report_of(server, "root")
            assert " sessions=3 streams=3 tasks=" in report.splitlines()[0]
            sessions = [line for line in report.splitlines() if line.startswith("session ")]
            assert sessions[0] == "session b"
            assert sorted(sessions[1:]) == ["session a", "session b"]


async def test_requests_and_services_are_shown_below_and_equal_ones_once(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: stuck_in("decode")) as server, trio.open_nursery() as nursery:

        async def ask() -> None:
            async with server.chat() as exchange:
                await exchange.read()

        for _ in range(20):
            nursery.start_soon(ask)
        await trio.sleep(5)
        report = await report_of(server)
        below = lines_of(report, "other tasks")
        for name in ("sessions", "drain", "stall watch", "watchdog"):
            assert [line for line in below if line.lstrip().startswith(f"{name}  ")], name
        assert [line for line in below if " x20 " in line]
        assert "stream str_" not in "".join(below)
        assert re.search(r"^end of tasks made_in_ms=\d+\.\d$", report, re.MULTILINE)
        nursery.cancel_scope.cancel(reason="enough seen")


async def test_it_tells_neither_prompts_nor_answers_nor_keys(autojump_clock: MockClock) -> None:
    owner = "4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2"  # of "root"
    async with (
        serving(lambda _: words("ANSWER", "b", gap=30), admin_keys=("root",)) as server,
        server.chat("my diary", headers=bearer("root")) as live,
    ):
        assert await live.status() == 200
        await trio.sleep(35)
        report = await report_of(server, "root")
        assert live.headers["x-stream-id"] in report
        assert "diary" not in report
        assert "ANSWER" not in report
        assert "root" not in report
        assert owner[:8] not in report


@pytest.mark.parametrize(
    ("settings", "key", "status", "code"),
    [
        ({}, "devkey", 200, None),
        ({}, None, 401, "invalid_api_key"),
        ({}, "wrong", 401, "invalid_api_key"),
        ({"api_keys": ("mine",)}, "mine", 403, "permission_denied"),
        ({"api_keys": ("mine",)}, "devkey", 401, "invalid_api_key"),
        ({"api_keys": ("mine",), "admin_keys": ("root",)}, "mine", 403, "permission_denied"),
        ({"api_keys": ("mine",), "admin_keys": ("root",)}, "root", 200, None),
        ({"api_keys": ("both",), "admin_keys": ("both",)}, "both", 200, None),
        ({"admin_keys": ("root",)}, "root", 200, None),
        ({"admin_keys": ("root",)}, "wrong", 401, "invalid_api_key"),
    ],
)
async def test_only_an_administrators_key_opens_it(
    autojump_clock: MockClock,
    settings: dict[str, Any],
    key: str | None,
    status: int,
    code: str | None,
) -> None:
    headers = {} if key is None else bearer(key)
    async with (
        serving(**settings) as server,
        server.request("GET", TASKS, headers=headers) as exchange,
    ):
        assert await exchange.status() == status
        if code is None:
            return
        error = await refusal(exchange)
        assert error["code"] == code
        if status == 403:
            assert error["type"] == "permission_error"
            assert "JARVIS_ADMIN_KEYS" in error["message"]


async def test_devkey_opens_it_only_from_this_machine(autojump_clock: MockClock) -> None:
    async with serving() as server:
        far = ("192.0.2.7", 5555)
        async with server.request("GET", TASKS, headers=DEVKEY, client=far) as exchange:
            assert await exchange.status() == 401
        proxied = {**DEVKEY, "X-Forwarded-For": "192.0.2.9"}
        async with server.request("GET", TASKS, headers=proxied) as exchange:
            assert await exchange.status() == 401
