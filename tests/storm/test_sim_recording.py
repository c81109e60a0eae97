"""What the sim records is what happened, in the order in which it happened."""

import socket
from typing import Any

import pytest
import trio

from jarvis_trio.storm.sim import recording
from jarvis_trio.storm.sim.recording import Recording
from jarvis_trio.storm.sim.watch import PeerWatch
from tests.storm.raw_client import PATHS, Api, SimClient, chat_body, text, words

APIS = pytest.mark.parametrize("api", ["openai", "ollama"])


async def kinds(sim: SimClient, marker: str) -> list[str]:
    events = (await sim.get("/sim/events"))["events"]
    return [event["kind"] for event in events if event["marker"] == marker]


@APIS
@pytest.mark.parametrize("stream", [True, False])
async def test_a_good_answer_arrives_begins_and_finishes(
    sim: SimClient, api: Api, stream: bool
) -> None:
    with trio.fail_after(5):
        await sim.chat(api, "sim?tokens=7", "marker:good", stream=stream)
        stats = await sim.get("/sim/stats")
        assert await kinds(sim, "good") == ["arrival", "first_byte", "finished"]
    (exchange,) = stats["by_marker"].pop("good")
    assert exchange["arrival_ns"] < exchange["first_byte_ns"] < exchange["finished_ns"]
    assert (exchange["closed_ns"], exchange["faulted_ns"]) == (None, None)
    assert (exchange["tokens_sent"], exchange["tokens_after_close"]) == (7, 0)
    assert (exchange["api"], exchange["model"]) == (api, "sim?tokens=7")
    assert stats == {
        "open": 0,
        "max_open": 1,
        "requests": 1,
        "completed": 1,
        "aborted": 0,
        "faulted": 0,
        "tokens": 7,
        "by_marker": {},
    }


@pytest.mark.parametrize(
    ("model", "seen", "before"),
    [
        ("sim-hang", None, ["arrival"]),
        ("sim-silent", b"", ["arrival"]),
        ("sim-stall?at=2", b"w1 ", ["arrival", "first_byte"]),
        ("sim?tps=1000&tokens=1000000", b"w9 ", ["arrival", "first_byte"]),
        ("sim?tokens=1000000", b"w9 ", ["arrival", "first_byte"]),
        ("sim?headers_ms=60000", None, ["arrival"]),
        ("sim?first_ms=60000", b"", ["arrival"]),
    ],
)
@APIS
async def test_a_client_that_closes_is_seen_at_once(
    sim: SimClient, api: Api, model: str, seen: bytes | None, before: list[str]
) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, model, "marker:gone")
            await sim.happened("gone", "arrival")
            if seen is not None:
                await connection.read_headers()
                await connection.read(until=seen)
        await sim.happened("gone", "closed")
        assert await kinds(sim, "gone") == [*before, "closed"]
        stats = await sim.get("/sim/stats")
        exchange = await sim.exchange("gone")
    assert (stats["open"], stats["aborted"], stats["completed"]) == (0, 1, 0)
    assert exchange["closed_ns"] > exchange["arrival_ns"]
    assert exchange["tokens_after_close"] == 0


@APIS
async def test_a_client_that_closes_before_a_whole_answer_is_seen(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, "sim?tps=1", "marker:gone", stream=False)
            await sim.happened("gone", "arrival")
        await sim.happened("gone", "closed")
        assert await kinds(sim, "gone") == ["arrival", "closed"]


async def test_a_close_behind_unread_requests_is_seen(sim: SimClient) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask("openai", "sim-hang", "marker:first")
            await connection.ask("openai", "sim", "marker:never")
            await sim.happened("first", "arrival")
        await sim.happened("first", "closed")
        assert await kinds(sim, "never") == []


async def test_a_successor_never_arrives_before_its_predecessor_s_close(sim: SimClient) -> None:
    """The promise that other tests build on: 300 times, A closes and B arrives at once."""
    with trio.fail_after(20):
        for number in range(300):
            async with sim.connect() as first, sim.connect() as second:
                await first.ask("openai", "sim-stall?at=1", f"marker:a{number}")
                await first.read(until=b"w0 ")
                first.close()
                await second.ask("openai", "sim-stall?at=1", f"marker:b{number}")
                await second.read(until=b"w0 ")
        events = (await sim.get("/sim/events"))["events"]
        stats = await sim.get("/sim/stats")
    order = {(event["marker"], event["kind"]): place for place, event in enumerate(events)}
    late = [n for n in range(300) if order[f"a{n}", "closed"] > order[f"b{n}", "arrival"]]
    times = [event["t_ns"] for event in events]
    assert late == []
    assert times == sorted(times)
    assert stats["max_open"] == 1


async def test_a_prompt_whose_client_has_gone_before_it_is_read_has_not_arrived(
    sim: SimClient,
) -> None:
    """The sim reads connections in any order: it would seem to come beside its successor."""
    with trio.fail_after(20):
        for number in range(50):
            with ask_without_a_turn_for_the_sim(sim, f"gone{number}"):
                pass
            with ask_without_a_turn_for_the_sim(sim, f"next{number}"):
                await sim.happened(f"next{number}", "first_byte")
        stats = await sim.get("/sim/stats")
    assert stats["max_open"] == 1
    assert set(stats["by_marker"]) == {f"next{number}" for number in range(50)}


def ask_without_a_turn_for_the_sim(sim: SimClient, marker: str) -> socket.socket:
    """Nothing here awaits: what it sends waits in the kernel."""
    body = chat_body("sim-stall?at=1", f"marker:{marker}")
    head = f"POST {PATHS['openai']} HTTP/1.1\r\nhost: sim\r\ncontent-length: {len(body)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", sim.port))
    connection.sendall(head.encode() + body)
    return connection


def test_arrivals_collect_closes_that_the_watch_s_own_task_has_not_seen() -> None:
    """Even when the task that waits for closes never runs, an arrival comes after them."""
    client, server = socket.socketpair()
    with PeerWatch() as watch, client, server:
        record = Recording(watch)
        first = record.arrival("a", "openai", "sim", 1)
        with watch.watching(server.fileno(), lambda: record.closed(first)):
            client.close()
            record.arrival("b", "openai", "sim", 2)
        events = [(event.marker, event.kind) for event in record.events()]
        assert events == [("a", "arrival"), ("a", "closed"), ("b", "arrival")]
        assert record.stats()["max_open"] == 1


def test_a_descriptor_used_again_is_not_taken_for_its_predecessor() -> None:
    """A connection that is no longer watched calls nobody, whoever has its number next."""
    calls: list[str] = []
    with PeerWatch() as watch:
        first_client, first = socket.socketpair()
        with first_client, first:
            number = first.fileno()
            with watch.watching(number, lambda: calls.append("first")):
                pass
            first_client.close()
        second, second_client = socket.socketpair()
        with second, second_client:
            again = second if second.fileno() == number else second_client
            other = second_client if again is second else second
            assert again.fileno() == number
            with watch.watching(number, lambda: calls.append("second")):
                watch.collect()
                assert calls == []
                other.close()
                watch.collect()
                watch.collect()
    assert calls == ["second"]


async def test_faults_and_refusals_end_as_faulted(sim: SimClient) -> None:
    ended = ("sim-die", "sim-eof", "sim-truncate", "sim-error", "sim-garbage", "sim-refuse", "who")
    with trio.fail_after(5):
        for model in ended:
            await sim.chat("openai", f"{model}?tokens=4" if model != "who" else model, "marker:m")
        stats = await sim.get("/sim/stats")
        endings = [kind for kind in await kinds(sim, "m") if kind != "first_byte"]
    assert endings == ["arrival", "faulted"] * len(ended)
    assert (stats["open"], stats["faulted"], stats["requests"]) == (0, len(ended), len(ended))
    assert len(stats["by_marker"]["m"]) == len(ended)


@pytest.mark.parametrize(
    ("messages", "marker"),
    [
        ([{"role": "user", "content": "marker:a then marker:b.c-d_1 end"}], "b.c-d_1"),
        (
            [
                {"role": "user", "content": "marker:old"},
                {"role": "assistant", "content": "marker:mine"},
                {"role": "user", "content": "marker:new"},
                {"role": "assistant", "content": "marker:mine"},
            ],
            "new",
        ),
        ([{"role": "user", "content": [{"type": "text", "text": "marker:part"}]}], "part"),
        ([{"role": "user", "content": "marker:a"}, {"role": "user", "content": "none"}], "1"),
        ([{"role": "system", "content": "marker:system"}], "1"),
    ],
)
async def test_the_marker_is_the_last_in_the_last_user_message(
    sim: SimClient, messages: list[Any], marker: str
) -> None:
    with trio.fail_after(5):
        await sim.chat("openai", "sim?tokens=1", messages=messages)
        assert list((await sim.get("/sim/stats"))["by_marker"]) == [marker]


async def test_requests_without_a_marker_are_numbered(sim: SimClient) -> None:
    with trio.fail_after(5):
        for _ in range(3):
            await sim.chat("ollama", "sim?tokens=1")
        assert list((await sim.get("/sim/stats"))["by_marker"]) == ["1", "2", "3"]


async def test_reset_forgets_all_but_what_is_open(sim: SimClient) -> None:
    with trio.fail_after(5):
        await sim.chat("openai", "sim?tokens=1", "marker:old")
        async with sim.connect() as connection:
            await connection.ask("openai", "sim-stall?at=1", "marker:open")
            await connection.read(until=b"w0 ")
            assert (await sim.request("POST", "/sim/reset")).status == 200
            during = await sim.get("/sim/stats")
        after = await sim.get("/sim/stats")
        events = await sim.get("/sim/events")
    assert (during.pop("open"), during.pop("max_open")) == (1, 1)
    assert (after.pop("open"), after.pop("max_open")) == (0, 1)
    nothing = {"requests": 0, "completed": 0, "aborted": 0, "faulted": 0, "tokens": 0}
    assert during == after == nothing | {"by_marker": {}}
    assert events == {"events": []}


async def test_a_reset_can_end_what_is_open(sim: SimClient) -> None:
    """A server that keeps an answer of one scenario is not blamed for it in the next."""
    with trio.fail_after(5):
        async with sim.connect() as hanging, sim.connect() as stalled:
            await hanging.ask("openai", "sim-hang", "marker:hanging")
            await sim.happened("hanging", "arrival")
            await stalled.ask("ollama", "sim-stall?at=1", "marker:stalled")
            await stalled.read(until=b"w0 ")
            assert (await sim.request("POST", "/sim/reset?end=1")).status == 200
            during = await sim.get("/sim/counts")
            assert (await hanging.read()).ended == "fin"
            assert (await stalled.read()).ended == "fin"
    assert (during["open"], during["max_open"], during["faulted"]) == (0, 0, 0)


async def test_waiting_for_an_event_answers_when_it_happens(
    sim: SimClient, nursery: trio.Nursery
) -> None:
    seen: list[Any] = []
    with trio.fail_after(5):
        async with sim.connect() as waiting:
            await waiting.send("GET", "/sim/wait?marker=later&kind=finished")
            await sim.chat("openai", "sim?tokens=1", "marker:sooner")
            await sim.chat("openai", "sim?tokens=1", "marker:later")
            seen.append((await waiting.read()).json())
        seen.append(await sim.happened("later", "finished"))
        wrong = await sim.request("GET", "/sim/wait?marker=later&kind=later")
    assert seen[0] == seen[1]
    assert (seen[0]["marker"], seen[0]["kind"]) == ("later", "finished")
    assert wrong.status == 400


def test_the_record_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_EVENTS", 10)
    monkeypatch.setattr(recording, "MOST_EXCHANGES", 3)
    with PeerWatch() as watch:
        record = Recording(watch)
        for number in range(20):
            record.finished(record.arrival(str(number), "openai", "sim", number))
        assert [event.marker for event in record.events()][::2] == ["15", "16", "17", "18", "19"]
        assert list(record.stats()["by_marker"]) == ["17", "18", "19"]
        assert record.stats()["requests"] == 20


async def test_a_thousand_streams_at_once_are_all_answered_to_the_last_token(
    sim: SimClient,
) -> None:
    """All requests lie complete but for one byte; then the last bytes are sent together."""
    body = b'{"model":"sim?tps=100&first_ms=2000&tokens=30","messages":[],"stream":true}'
    head = b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    whole = 0

    async def one(begin: trio.Event, ready: trio.Semaphore) -> None:
        nonlocal whole
        async with sim.connect() as connection:
            await connection.stream.send_all((head + body)[:-1])
            ready.release()
            await begin.wait()
            await connection.stream.send_all(body[-1:])
            answer = await connection.read()
        whole += text("ollama", answer) == words(30)

    begin, ready = trio.Event(), trio.Semaphore(0)
    with trio.fail_after(30):
        async with trio.open_nursery() as streams:
            for _ in range(1000):
                streams.start_soon(one, begin, ready)
            for _ in range(1000):
                await ready.acquire()
            begin.set()
        stats = await sim.get("/sim/stats")
    assert whole == 1000
    assert (stats["completed"], stats["open"], stats["max_open"]) == (1000, 0, 1000)
    assert stats["tokens"] == 30_000


async def test_the_counts_are_the_statistics_without_the_list(sim: SimClient) -> None:
    with trio.fail_after(5):
        await sim.chat("openai", "sim?tokens=3", "marker:m")
        stats = await sim.get("/sim/stats")
        assert stats.pop("by_marker")
        assert await sim.get("/sim/counts") == stats
