"""Coming back to an answer: ``X-On-Disconnect: continue`` and ``GET /v1/streams/{id}``."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.kept import ENTRY_BYTES
from jarvis_trio.engine.stream_ids import new_stream_id
from jarvis_trio.errors import UpstreamEOFError
from jarvis_trio.events import Finish, Text, Usage
from jarvis_trio.wire.openai.frames import PING
from jarvis_trio.wire.sse import SSEDecoder, SSEEvent
from tests.asgi_client import Exchange
from tests.scripted import Play, words
from tests.web.server import DEVKEY, Server, by_prompt, events, refusal, serving, stuck_in, text_of

CONTINUE = {"X-On-Disconnect": "continue"}
GRACE = 30
A_BIT = 0.001
SLOW = Play(*words("a", "b", "c", "d", gap=5).steps)


def again(
    server: Server,
    stream_id: str,
    query: str = "",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> AbstractAsyncContextManager[Exchange]:
    """Come back."""
    path = f"/v1/streams/{stream_id}{query}"
    return server.request(method, path, headers={**DEVKEY, **(headers or {})}, **options)


async def read_again(server: Server, stream_id: str, query: str = "", **options: Any) -> bytes:
    async with again(server, stream_id, query, **options) as exchange:
        assert await exchange.status() == 200
        return await exchange.read()


async def assert_refused(server: Server, stream_id: str, status: int, query: str = "") -> Any:
    async with again(server, stream_id, query) as exchange:
        assert await exchange.status() == status
        error = await refusal(exchange)
        assert (
            error["code"] == {400: "invalid_request", 404: "not_found", 410: "stream_gone"}[status]
        )
        return error


def numbered(body: bytes) -> list[SSEEvent]:
    assert body.endswith(b"\n\n")
    return SSEDecoder().feed(body)


def without_ids(body: bytes) -> bytes:
    return re.sub(rb"^id: \d+\n", b"", body, flags=re.MULTILINE)


async def only_live(server: Server) -> str:
    """Return the id of the one live stream, as an administrator sees it."""
    async with server.request("GET", "/debug/tasks", headers=DEVKEY) as exchange:
        (stream_id,) = re.findall(rb" (str_\w+) ", await exchange.read())
    found: bytes = stream_id
    return found.decode()


@asynccontextmanager
async def left(
    server: Server, prompt: str = "A", *, after: float = 0, **options: Any
) -> AsyncIterator[str]:
    """Ask with ``continue`` and go ``after`` so many seconds; the block gets the stream's id."""
    headers = {**CONTINUE, **options.pop("headers", {})}
    async with server.chat(prompt, headers=headers, **options) as exchange:
        assert await exchange.status() == 200
        await trio.sleep(after)
        stream_id = exchange.headers["x-stream-id"]
    yield stream_id


async def test_an_answer_lives_on_without_its_client_and_is_read_on_where_that_was(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: SLOW) as server:
        async with server.chat("A", session="s", headers=CONTINUE) as exchange:
            had = await exchange.receive() + await exchange.receive()
            stream_id = exchange.headers["x-stream-id"]
        assert text_of(had) == "a"
        await trio.sleep(7)
        async with again(server, stream_id, "?after=2") as back:
            assert await back.status() == 200
            assert back.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert back.headers["x-stream-id"] == stream_id
            assert back.headers["x-session-id"] == "s"
            assert back.headers["cache-control"] == "no-cache, no-transform"
            assert back.headers["x-accel-buffering"] == "no"
            assert back.headers["x-request-id"]
            first = await back.receive()
            assert trio.current_time() == 12  # what there is, at once
            rest = first + await back.read()
        assert trio.current_time() == 20
        got = numbered(rest)
        assert [event.id for event in got] == [str(n) for n in range(3, 3 + len(got))]
        whole = had + without_ids(rest)
        assert text_of(whole) == "abcd"
        assert without_ids(await read_again(server, stream_id)) == whole
        await server.assert_nothing_is_left()


@pytest.mark.parametrize("asked", ["continue", "cancel"])
async def test_several_readers_at_once_get_identical_bytes(
    autojump_clock: MockClock, asked: str
) -> None:
    """Whenever they come, and however they read."""
    got: list[bytes] = []

    async def read(server: Server, stream_id: str, at: float) -> None:
        await trio.sleep_until(at)
        got.append(await read_again(server, stream_id))

    async with serving(lambda _: SLOW, keepalive_s=1000) as server:
        async with server.chat("A", headers={"X-On-Disconnect": asked}) as exchange:
            assert await exchange.status() == 200
            stream_id = exchange.headers["x-stream-id"]
            async with trio.open_nursery() as nursery:
                for at in (0, 0, 3, 5, 12, 19.999):
                    nursery.start_soon(read, server, stream_id, at)
                posted = await exchange.read()
        assert len(set(got)) == 1
        assert without_ids(got[0]) == posted
        assert [event.id for event in numbered(got[0])] == [str(n + 1) for n in range(7)]
        await server.assert_nothing_is_left()


async def test_the_last_reader_to_leave_takes_along_what_was_asked_with_cancel(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: stuck_in("decode")) as server:
        async with server.chat("A") as first:
            assert await first.status() == 200
            stream_id = first.headers["x-stream-id"]
            async with again(server, stream_id) as second:
                assert await second.receive()
                first.disconnect()
                await trio.sleep(2)
                assert server.provider.open == 1
        await wait_all_tasks_blocked()
        assert server.provider.open == 0
        await assert_refused(server, stream_id, 410)


async def test_last_event_id_says_the_same_and_the_query_wins(autojump_clock: MockClock) -> None:
    async with serving(lambda _: words("a", "b")) as server, left(server, after=1) as stream_id:
        whole = numbered(await read_again(server, stream_id))
        for after in range(len(whole) + 1):
            header = {"Last-Event-ID": str(after)}
            query = f"?after={after}"
            for got in (
                await read_again(server, stream_id, query),
                await read_again(server, stream_id, headers=header),
                await read_again(server, stream_id, query, headers={"Last-Event-ID": "1"}),
            ):
                assert (numbered(got) if got else []) == whole[after:]
        assert numbered(await read_again(server, stream_id, headers={"Last-Event-ID": ""})) == whole


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "%201", "1_0", "0x1", "%D9%A1", "9" * 99])
async def test_an_event_that_cannot_be_read_is_400(autojump_clock: MockClock, text: str) -> None:
    async with serving(lambda _: words("a")) as server, left(server, after=1) as stream_id:
        error = await assert_refused(server, stream_id, 400, f"?after={text}")
        assert error["param"] == "after"
        if "%" not in text and text:
            header = {"Last-Event-ID": text}  # also where the query is good
            async with again(server, stream_id, "?after=0", headers=header) as exchange:
                assert await exchange.status() == 400
                assert (await refusal(exchange))["param"] == "Last-Event-ID"


async def test_an_event_that_is_not_there_yet_is_400(autojump_clock: MockClock) -> None:
    async with serving(lambda _: SLOW) as server, left(server, after=6) as stream_id:
        error = await assert_refused(server, stream_id, 400, "?after=3")
        assert "2 events" in error["message"]
        assert error["param"] == "after"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("phase", ["connect", "prefill", "decode"])
async def test_the_grace_is_exact_in_every_phase(
    autojump_clock: MockClock, phase: str, stream: bool
) -> None:
    """Also before the headers, and for ``stream=false`` (I10)."""
    async with serving(lambda _: stuck_in(phase), idle_timeout_s=1000) as server:
        async with server.chat("A", stream=stream, headers=CONTINUE):
            await wait_all_tasks_blocked()
        stream_id = await only_live(server)
        await trio.sleep(GRACE - A_BIT)
        assert server.provider.open == 1
        async with again(server, stream_id):  # and leaving begins it anew
            await trio.sleep(1)
        await trio.sleep(GRACE - A_BIT)
        assert server.provider.open == 1
        await trio.sleep(2 * A_BIT)
        await server.assert_nothing_is_left()
        await assert_refused(server, stream_id, 410)
        assert await server.metric('jarvis_streams_ended_total{cause="client_disconnect"}') == 1


async def test_the_setting_says_how_long_the_grace_is(autojump_clock: MockClock) -> None:
    async with (
        serving(lambda _: stuck_in("decode"), resume_grace_s=3) as server,
        left(server) as stream_id,
    ):
        await trio.sleep(3 - A_BIT)
        assert server.provider.open == 1
        await trio.sleep(2 * A_BIT)
        await server.assert_nothing_is_left()
        await assert_refused(server, stream_id, 410)


async def test_an_ended_answer_can_be_read_for_the_grace(autojump_clock: MockClock) -> None:
    async with serving(lambda _: words("a", gap=10)) as server, left(server) as stream_id:
        await trio.sleep(10 + GRACE - A_BIT)
        assert events(without_ids(await read_again(server, stream_id)))[-1] == "[DONE]"
        await trio.sleep(2 * A_BIT)
        await assert_refused(server, stream_id, 410)


async def test_a_whole_answer_that_lost_its_client_can_be_read_as_a_stream(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: SLOW) as server:
        async with server.chat("A", stream=False, headers=CONTINUE):
            await trio.sleep(6)
        stream_id = await only_live(server)
        assert text_of(without_ids(await read_again(server, stream_id))) == "abcd"
        assert trio.current_time() == 20
        await server.assert_nothing_is_left()


async def test_who_left_the_queue_can_come_back_to_it(autojump_clock: MockClock) -> None:
    script = by_prompt(A=Play(Text("a"), 20, Finish("stop")), B=words("b"))
    enqueue = {**CONTINUE, "X-Session-Policy": "enqueue"}
    async with serving(script, keepalive_s=1000) as server:
        async with server.chat("A", session="s") as live:
            assert await live.status() == 200
            async with left(server, "B", session="s", headers=enqueue, after=1) as stream_id:
                await trio.sleep(10)
                async with again(server, stream_id) as back:
                    assert await back.status() == 200  # though nothing has begun
                    await live.read()
                    assert text_of(without_ids(await back.read())) == "b"
        await server.assert_nothing_is_left()


@pytest.mark.parametrize("is_away", [False, True])
async def test_after_a_supersede_who_comes_back_is_told_by_which(
    autojump_clock: MockClock, is_away: bool
) -> None:
    script = by_prompt(A=stuck_in("decode"), B=words("b"))
    async with serving(script) as server, left(server, session="s", after=2) as stream_id:
        async with again(server, stream_id) as back:
            assert await back.receive()
            if is_away:
                back.disconnect()
            async with server.chat("B", session="s") as successor:
                await successor.read()
            if not is_away:
                assert b'"superseded_by"' in await back.read()
        for query in ("", "?after=2"):
            got = events(without_ids(await read_again(server, stream_id, query)))
            assert got[-2]["error"]["superseded_by"] == successor.headers["x-stream-id"]
            assert got[-1] == "[DONE]"
            assert len(got) == (2 if query else 4)
        await server.assert_nothing_is_left()


async def test_a_stop_finds_a_stream_whose_client_has_gone_and_so_does_who_comes_back(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: stuck_in("decode")) as server, left(server, after=2) as stream_id:
        path = f"/v1/streams/{stream_id}/cancel"
        async with server.request("POST", path, headers=DEVKEY) as stop:
            assert (await stop.json())["status"] == "cancelled"
        got = events(without_ids(await read_again(server, stream_id)))
        assert got[-2]["error"]["code"] == "stopped"
        async with server.request("POST", path, headers=DEVKEY) as stop:
            assert (await stop.json())["status"] == "already_ended"
        await server.assert_nothing_is_left()


@pytest.mark.parametrize("when", [0.0, 5.0])
async def test_a_failure_can_be_read_later_also_one_that_was_a_real_status(
    autojump_clock: MockClock, when: float
) -> None:
    play = Play(before_accept=[when, UpstreamEOFError("cut")])
    async with serving(lambda _: play) as server:
        async with server.chat("A", headers=CONTINUE) as exchange:
            assert await exchange.status() == (200 if when else 502)
            stream_id = exchange.headers["x-stream-id"]
        await trio.sleep(when)
        got = events(without_ids(await read_again(server, stream_id)))
        assert (got[-2]["error"]["code"], got[-1]) == ("upstream_eof", "[DONE]")


async def test_at_shutdown_who_came_back_gets_an_honest_end(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        got: list[bytes] = []

        async def come_back(server: Server, stream_id: str) -> None:
            got.append(await read_again(server, stream_id))

        async with serving(lambda _: stuck_in("decode")) as server, left(server) as stream_id:
            nursery.start_soon(come_back, server, stream_id)
            await wait_all_tasks_blocked()
    ends = events(without_ids(got[0]))
    assert (ends[-2]["error"]["code"], ends[-1]) == ("server_shutdown", "[DONE]")


async def test_a_re_attached_reader_is_pinged_and_pings_have_no_number(
    autojump_clock: MockClock,
) -> None:
    play = Play(Text("a"), 25, Text("b"), Finish("stop"))
    async with serving(lambda _: play) as server, left(server) as stream_id:
        body = await read_again(server, stream_id, "?after=2")
        assert body.startswith(PING + PING + b"id: 3\n")


async def test_done_is_said_only_at_a_true_end(autojump_clock: MockClock) -> None:
    """Of a stream that is cut off there is none to hear it; what is read in parts has it once."""
    async with serving(lambda _: SLOW) as server, left(server) as stream_id:
        parts = []
        for after in range(4):
            async with again(server, stream_id, f"?after={after}") as back:
                parts.append(await back.receive())
            assert b"[DONE]" not in parts[-1]
        parts.append(await read_again(server, stream_id, "?after=4"))
        assert b"".join(parts).count(b"[DONE]") == 1
        assert parts[-1].endswith(b"data: [DONE]\n\n")


async def test_a_reader_that_stalls_holds_up_neither_the_others_nor_a_supersede(
    autojump_clock: MockClock,
) -> None:
    """I3. It has the model wait only when it is far behind."""
    large = "x" * 20_000
    script = by_prompt(A=words(*[large] * 40, gap=0.1), B=words("b"))
    async with (
        serving(script, keepalive_s=1000) as server,
        left(server, session="s") as stream_id,
    ):
        async with again(server, stream_id, reads=2):
            got = b""
            async with again(server, stream_id) as other:
                with trio.move_on_after(60):
                    while piece := await other.receive():
                        got += piece
            assert 256 * 1024 < len(got) < 256 * 1024 + 2 * len(large)
            began = trio.current_time()
            async with server.chat("B", session="s") as successor:
                assert text_of(await successor.read()) == "b"
            assert trio.current_time() == began
        assert (await read_again(server, stream_id)).startswith(got)
        await server.assert_nothing_is_left()


async def test_a_long_answer_is_read_from_its_first_event_and_in_slices(
    autojump_clock: MockClock,
) -> None:
    """More than may lag, so that a page which is loaded anew has all of it."""
    play = words(*[f"{n} " * 300 for n in range(500)], gap=0.1)
    async with serving(lambda _: play) as server:
        async with server.chat("A", headers=CONTINUE) as exchange:
            posted = await exchange.read()
            stream_id = exchange.headers["x-stream-id"]
        assert len(posted) > 600_000
        async with again(server, stream_id) as back:
            pieces = []
            while piece := await back.receive():
                pieces.append(piece)
        assert without_ids(b"".join(pieces)) == posted
        assert max(map(len, pieces)) <= 16 * 1024


async def test_of_an_answer_that_is_longer_than_what_is_held_the_loss_is_told(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jarvis_trio.assembly.RESUME_LIMIT_BYTES", 10_000)
    play = words(*["x" * 1000] * 100, gap=0.1)
    async with serving(lambda _: play) as server, left(server, after=15) as stream_id:
        error = await assert_refused(server, stream_id, 410)
        lost = int(re.findall(r"after=(\d+)", error["message"])[0])
        await assert_refused(server, stream_id, 410, f"?after={lost - 1}")
        got = numbered(await read_again(server, stream_id, f"?after={lost}"))
        assert got[0].id == str(lost + 1)
        assert got[-1].data == b"[DONE]"


async def test_ended_answers_are_bounded_in_total_and_the_oldest_go_first(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jarvis_trio.assembly.KEPT_LIMIT_BYTES", 3 * (ENTRY_BYTES + 2000))
    async with serving(lambda _: words("x" * 1000)) as server:
        stream_ids = []
        for _ in range(5):
            async with left(server, after=1) as stream_id:
                stream_ids.append(stream_id)
        for stream_id in stream_ids[:2]:
            await assert_refused(server, stream_id, 410)
        for stream_id in stream_ids[2:]:
            assert text_of(without_ids(await read_again(server, stream_id))) == "x" * 1000


async def test_what_was_asked_with_cancel_is_gone_when_it_has_ended(
    autojump_clock: MockClock,
) -> None:
    async with serving() as server:
        async with server.chat() as exchange:
            await exchange.read()
        await assert_refused(server, exchange.headers["x-stream-id"], 410)


async def test_no_answer_tells_anothers_stream_from_one_that_never_was(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, yours = ({"Authorization": f"Bearer {name}"} for name in ("mine", "yours"))
    monkeypatch.setattr("time.time_ns", lambda: 1_753_000_000 * 10**9)
    async with (
        serving(lambda _: stuck_in("decode"), api_keys=("mine", "yours")) as server,
        left(server, headers=mine) as live,
    ):
        for age, status in ((GRACE, 404), (GRACE + 1, 410)):
            monkeypatch.setattr("time.time", lambda now=1_753_000_000 + age: now)
            said = []
            for stream_id in (live, new_stream_id()):
                async with again(server, stream_id, headers=yours) as exchange:
                    assert await exchange.status() == status
                    error = await refusal(exchange)
                    said.append(str(error).replace(stream_id, "…"))
                    assert not set(exchange.headers) & {"x-stream-id", "x-session-id"}
            assert said[0] == said[1]
        async with again(server, live, headers={"Authorization": "Bearer wrong"}) as exchange:
            assert await exchange.status() == 401
        async with again(server, live, headers=mine) as exchange:
            assert await exchange.status() == 200
            assert await exchange.receive()


@pytest.mark.parametrize(
    ("stream_id", "status"),
    [
        ("str_01J0000000000000000000000A", 410),  # of June 2024
        ("str_7ZZZZZZZZZ000000000000000A", 404),  # of the year 10889
        ("str_01J000000000000000000000", 404),
        ("str_01j0000000000000000000000a", 404),
        ("rubbish", 404),
        ("%FF%00", 404),
    ],
)
async def test_an_id_that_was_never_given_out_is_404_or_too_old(
    autojump_clock: MockClock, stream_id: str, status: int
) -> None:
    async with serving() as server:
        await assert_refused(server, stream_id, status)


async def test_a_head_request_tells_what_a_get_would_and_keeps_nothing_alive(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda _: stuck_in("decode")) as server, left(server) as stream_id:
        await trio.sleep(GRACE - 1)
        async with again(server, stream_id, method="HEAD") as exchange:
            assert await exchange.status() == 200
            assert exchange.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert exchange.headers["x-stream-id"] == stream_id
            assert await exchange.read() == b""
        async with again(server, stream_id, "?after=9", method="HEAD") as exchange:
            assert await exchange.status() == 400
        await trio.sleep(1 + A_BIT)
        async with again(server, stream_id, method="HEAD") as exchange:
            assert await exchange.status() == 410
        await server.assert_nothing_is_left()


async def test_a_usage_chunk_and_done_are_events_of_their_own(autojump_clock: MockClock) -> None:
    """They are one frame: each can be what was missed."""
    play = Play(Text("a"), Usage(1, 2), Finish("stop"))
    body = b'{"prompt":"A","stream":true,"stream_options":{"include_usage":true}}'
    async with serving(lambda _: play) as server, left(server, body=body, after=1) as stream_id:
        whole = numbered(await read_again(server, stream_id))
        assert [b'"usage":{' in event.data for event in whole][-2:] == [True, False]
        for after in range(len(whole)):
            assert numbered(await read_again(server, stream_id, f"?after={after}")) == whole[after:]
