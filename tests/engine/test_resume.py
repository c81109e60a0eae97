"""Streams that outlive their readers, and what is kept of them (design §6, I6)."""

import gc
import tracemalloc
import weakref

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.endings import MOST
from jarvis_trio.engine.kept import ENTRY_BYTES, KeptAnswer
from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.replay import Reader
from jarvis_trio.engine.resuming import find_answer
from jarvis_trio.engine.stream_ids import new_stream_id
from jarvis_trio.errors import (
    NotFoundError,
    RequestError,
    StreamGoneError,
    UpstreamEOFError,
    UpstreamRejectedError,
)
from jarvis_trio.events import Cause, ChatEvent, Finish, Phase, Text
from tests.engine import engine as plain
from tests.engine.engine import Client, Engine
from tests.scripted import Play, words

LIMITS = replace(plain.LIMITS, idle_timeout_seconds=1e6, first_token_timeout_seconds=1e6)
GRACE = LIMITS.resume_grace_seconds
NEVER = trio.Event
A_BIT = 0.001


def stuck(_: str = "") -> Play:
    return Play(Text("a"), NEVER())


async def rest(reader: Reader) -> bytes:
    received = b""
    with trio.fail_after(1000):
        while data := await reader.receive(16 * 1024):
            received += data
    return received


async def read_again(engine: Engine, client: Client, after: int = 0, owner: str = "me") -> bytes:
    reader = find_answer(engine.sessions, owner, client.stream.id).attach(after)
    try:
        return await rest(reader)
    finally:
        reader.leave()


def assert_gone(engine: Engine, client: Client) -> None:
    with pytest.raises(StreamGoneError):
        find_answer(engine.sessions, "me", client.stream.id)


async def live_without_readers(engine: Engine) -> Client:
    """Return one who has read a little and left."""
    client = engine.send("A", lives_on=True)
    await client.read_until(b"[a]")
    client.reader.leave()
    return client


@pytest.mark.parametrize("cause", [Cause.CLIENT_DISCONNECT, Cause.CLIENT_STALLED])
async def test_it_lives_without_a_reader_for_the_grace_and_not_a_moment_longer(
    autojump_clock: MockClock, cause: Cause
) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        client = engine.send("A", lives_on=True)
        await client.read_until(b"[a]")
        await trio.sleep(7.5)
        client.reader.leave(cause)
        await trio.sleep(GRACE - A_BIT)
        assert client.stream.cause is None
        assert engine.provider.open == 1
        await trio.sleep(2 * A_BIT)
        assert client.stream.cause is Cause.CLIENT_DISCONNECT
        assert engine.provider.open == 0
        assert_gone(engine, client)
        await engine.assert_nothing_is_left()


async def test_the_grace_ends_to_the_instant(autojump_clock: MockClock) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        client = await live_without_readers(engine)
        left_at = trio.current_time()
        await client.stream.finished.wait()
        assert trio.current_time() == left_at + GRACE


async def test_who_comes_back_stops_the_grace_and_leaving_again_begins_it_anew(
    autojump_clock: MockClock,
) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        client = await live_without_readers(engine)
        for _ in range(3):
            await trio.sleep(GRACE - A_BIT)
            reader = client.stream.attach(0)
            await trio.sleep(3 * GRACE)
            assert client.stream.cause is None
            reader.leave()
        left_at = trio.current_time()
        await client.stream.finished.wait()
        assert trio.current_time() == left_at + GRACE


@pytest.mark.parametrize("gap", [3, 0.001])
async def test_each_stream_has_a_grace_of_its_own(autojump_clock: MockClock, gap: float) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        clients = []
        for number in range(5):
            clients.append(engine.send("A", session=f"s{number}", lives_on=True))
            clients[-1].reader.leave()
            await trio.sleep(gap)
        back = clients[2].stream.attach(0)
        for number in (0, 1, 3, 4):
            await clients[number].stream.finished.wait()
            due = engine.started_at + gap * number + GRACE
            assert trio.current_time() == pytest.approx(due, abs=gap / 100)
        assert clients[2].stream.cause is None
        back.leave()
        await clients[2].stream.finished.wait()


async def test_asking_in_vain_does_not_stop_the_grace(autojump_clock: MockClock) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        client = await live_without_readers(engine)
        with pytest.raises(RequestError):
            client.stream.attach(99)
        await trio.sleep(GRACE + A_BIT)
        assert client.stream.cause is Cause.CLIENT_DISCONNECT


async def test_one_reader_of_several_may_leave(autojump_clock: MockClock) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        client = engine.send("A", lives_on=True)
        other = client.stream.attach(0)
        client.reader.leave()
        await trio.sleep(2 * GRACE)
        assert client.stream.cause is None
        other.leave()
        await trio.sleep(GRACE + A_BIT)
        assert client.stream.cause is Cause.CLIENT_DISCONNECT


async def test_what_was_asked_with_cancel_can_be_read_by_several_and_goes_with_the_last(
    autojump_clock: MockClock,
) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        client = engine.send("A")
        await client.read_until(b"[a]")
        other = find_answer(engine.sessions, "me", client.stream.id).attach(1)
        client.reader.leave()
        assert await other.receive(100) == b"[a]"
        await trio.sleep(10 * GRACE)
        assert client.stream.cause is None
        other.leave(Cause.CLIENT_STALLED)
        assert client.stream.cause is Cause.CLIENT_STALLED
        assert_gone(engine, client)  # nobody could be told of its end
        await engine.assert_nothing_is_left()
        assert_gone(engine, client)


async def test_it_is_answered_to_its_end_without_a_reader_and_kept_for_the_grace(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda _: words("a", "b", gap=5)).running() as engine:
        client = await live_without_readers(engine)
        await client.stream.finished.wait()
        assert client.stream.cause is Cause.COMPLETED
        await trio.sleep(GRACE - A_BIT)
        assert await read_again(engine, client) == b"<open>[a][b]<end stop>"
        assert await read_again(engine, client, after=2) == b"[b]<end stop>"
        assert await read_again(engine, client, after=4) == b""
        await trio.sleep(2 * A_BIT)  # reading it has not made it live longer
        assert_gone(engine, client)
        await engine.assert_nothing_is_left()


async def test_an_answer_is_kept_also_when_its_reader_stayed_and_not_when_it_was_asked_with_cancel(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda _: words("a")).running() as engine:
        whole = [await engine.send("A", lives_on=lives_on).read() for lives_on in (True, False)]
        stays, goes = (engine.send("A", f"s{n}", lives_on=n == 0) for n in range(2))
        await stays.read()
        await goes.read()
        assert await read_again(engine, stays) == whole[0]
        assert_gone(engine, goes)


@pytest.mark.parametrize("is_away", [False, True])
@pytest.mark.parametrize(
    "ending", ["superseded", "stopped", "shutdown", "eof", "refused", "superseded in line"]
)
async def test_whatever_ended_it_who_comes_back_reads_its_tail_and_its_terminal_frame(
    autojump_clock: MockClock, ending: str, is_away: bool
) -> None:
    fails = trio.Event()
    play = {
        "eof": Play(Text("a"), fails, UpstreamEOFError("cut")),
        "refused": Play(before_accept=[fails, UpstreamRejectedError("no")]),
    }.get(ending, stuck())
    async with Engine(lambda prompt: words("b") if prompt == "B" else play).running() as engine:
        if ending == "superseded in line":
            engine.send("X", owner="me")
            client = engine.send("A", policy=Policy.ENQUEUE, lives_on=True)
        else:
            client = engine.send("A", lives_on=True)
        await wait_all_tasks_blocked()
        if is_away:
            client.reader.leave()
            await trio.sleep(GRACE / 2)
        fails.set()
        if ending == "shutdown":
            await engine.sessions.end_all()
        elif ending == "stopped":
            await engine.sessions.stop(client.stream).wait()
        elif ending.startswith("superseded"):
            await engine.send("B").read()
        await client.stream.finished.wait()
        code = client.stream.error.code.encode()  # type: ignore[union-attr]
        begun = {"refused": b"<open>", "superseded in line": b""}.get(ending, b"<open>[a]")
        for _ in range(2):
            assert await read_again(engine, client) == begun + b"<error " + code + b">"
        await trio.sleep(GRACE + A_BIT)
        assert_gone(engine, client)


async def test_a_reader_that_is_back_before_the_end_sees_that_end(
    autojump_clock: MockClock,
) -> None:
    hangs = trio.Event()
    play = Play(Text("a"), NEVER(), close_hangs_until=hangs)
    async with Engine(lambda prompt: play if prompt == "A" else words("b")).running() as engine:
        client = await live_without_readers(engine)
        engine.send("B")
        await wait_all_tasks_blocked()
        assert client.stream.cause is Cause.SUPERSEDED  # and it still unwinds
        reader = find_answer(engine.sessions, "me", client.stream.id).attach(2)
        hangs.set()
        assert await rest(reader) == b"<error superseded>"


async def test_the_grace_says_nothing_to_a_stream_that_ends_meanwhile(
    autojump_clock: MockClock,
) -> None:
    """Also where its cleanup takes longer than the grace: it keeps its cause."""
    play = Play(Text("a"), NEVER(), close_hangs_until=NEVER())
    limits = replace(LIMITS, resume_grace_seconds=1)
    async with Engine(lambda _: play, limits).running() as engine:
        client = await live_without_readers(engine)
        client.stream.cancel(Cause.STOPPED)
        await trio.sleep(1.5)
        assert client.stream.phase is not Phase.ENDED
        assert client.stream.cause is Cause.STOPPED
        await trio.sleep(1)
        assert client.stream.quarantined
        assert await read_again(engine, client) == b"<open>[a]<error stopped>"


async def test_who_leaves_the_line_keeps_its_place_in_it(autojump_clock: MockClock) -> None:
    script = {"A": Play(10, Finish("stop")), "B": words("b")}
    async with Engine(lambda prompt: script[prompt]).running() as engine:
        first = engine.send("A")
        second = engine.send("B", policy=Policy.ENQUEUE, lives_on=True)
        second.reader.leave()
        await first.read()
        await second.stream.finished.wait()
        assert await read_again(engine, second) == b"<open>[b]<end stop>"


async def test_who_does_not_come_back_leaves_the_line_when_the_grace_is_over(
    autojump_clock: MockClock,
) -> None:
    async with Engine(stuck, LIMITS).running() as engine:
        first = engine.send("A")
        second = engine.send("B", policy=Policy.ENQUEUE, lives_on=True)
        second.reader.leave()
        await second.stream.finished.wait()
        assert trio.current_time() == engine.started_at + GRACE
        assert ("open", "B") not in engine.provider.history
        assert first.stream.cause is None


async def test_without_a_reader_the_upstream_runs_on_and_the_first_events_go(
    autojump_clock: MockClock,
) -> None:
    limits = replace(LIMITS, resume_limit_bytes=100, replay_limit_bytes=50, flush_bytes=1)
    async with Engine(lambda _: words(*"x" * 99, gap=0.1), limits).running() as engine:
        client = engine.send("A", lives_on=True)
        client.reader.leave()
        await client.stream.finished.wait()
        assert client.stream.cause is Cause.COMPLETED
        answer = find_answer(engine.sessions, "me", client.stream.id)
        with pytest.raises(StreamGoneError, match=r"after=\d+ reads") as told:
            answer.attach(0)
        lost = int(told.value.message.split("after=")[1].split()[0])
        assert await read_again(engine, client, after=lost) == b"[x]" * (100 - lost) + b"<end stop>"


async def test_many_ended_ones_are_bounded_in_total_and_the_oldest_go_first(
    autojump_clock: MockClock,
) -> None:
    limits = replace(LIMITS, kept_limit_bytes=3 * (ENTRY_BYTES + 1100))
    async with Engine(lambda _: words("x" * 1024), limits).running() as engine:
        clients: list[Client] = []
        reader = None
        for number in range(5):
            client = engine.send("A", f"s{number}", lives_on=True)
            clients.append(client)
            await client.read()
            await client.stream.finished.wait()
            reader = reader or find_answer(engine.sessions, "me", client.stream.id).attach(0)
            assert engine.sessions.kept.held_bytes <= limits.kept_limit_bytes
            assert len(engine.sessions.kept._answers) == min(number + 1, 3)
        for client in clients[:2]:
            assert_gone(engine, client)
        for client in clients[2:]:
            assert await read_again(engine, client) == client.received
        assert reader is not None
        assert await rest(reader) == clients[0].received  # who reads already, reads on
        await trio.sleep(GRACE + A_BIT)
        await engine.assert_nothing_is_left()


async def test_one_that_is_larger_than_everything_that_may_be_kept_is_not(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda _: words("x"), replace(LIMITS, kept_limit_bytes=1)).running() as e:
        client = e.send("A", lives_on=True)
        await client.read()
        assert_gone(e, client)
        await e.assert_nothing_is_left()


async def test_nothing_tells_anothers_stream_from_one_that_never_was(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live or kept, young or old."""
    monkeypatch.setattr("time.time_ns", lambda: 1_753_000_000 * 10**9)
    async with Engine(lambda prompt: stuck() if prompt == "A" else words("b")).running() as engine:
        live = engine.send("A", "s1", lives_on=True)
        ended = engine.send("B", "s2", lives_on=True)
        await ended.read()
        never = new_stream_id()
        for age, error in (
            (0, NotFoundError),
            (GRACE, NotFoundError),
            (GRACE + A_BIT, StreamGoneError),
        ):
            monkeypatch.setattr("time.time", lambda now=1_753_000_000 + age: now)
            said = set()
            for stream_id in (live.stream.id, ended.stream.id, never):
                with pytest.raises(error) as raised:
                    find_answer(engine.sessions, "you", stream_id)
                said.add(raised.value.message.replace(stream_id, "…"))
                assert type(raised.value) is error
            assert len(said) == 1
        assert find_answer(engine.sessions, "me", live.stream.id) is live.stream
        assert isinstance(find_answer(engine.sessions, "me", ended.stream.id), KeptAnswer)


@pytest.mark.parametrize("stream_id", ["", "str_", "x", "str_00000000000000000000000000x", "é"])
async def test_what_is_no_id_was_never_there(autojump_clock: MockClock, stream_id: str) -> None:
    async with Engine(words).running() as engine:
        with pytest.raises(NotFoundError):
            find_answer(engine.sessions, "me", stream_id)


async def test_nothing_of_a_stream_is_kept_but_its_frames(autojump_clock: MockClock) -> None:
    async with Engine(lambda _: words("a")).running() as engine:
        client = engine.send("A", lives_on=True)
        await client.read()
        await client.stream.finished.wait()
        stream_id, stream = client.stream.id, weakref.ref(client.stream)
        del client
        await wait_all_tasks_blocked()
        gc.collect()
        assert stream() is None
        assert find_answer(engine.sessions, "me", stream_id)


async def test_what_a_kept_answer_weighs_is_counted(autojump_clock: MockClock) -> None:
    """Thousands of short answers are bounded too."""
    limits = replace(LIMITS, kept_limit_bytes=1 << 30)
    async with Engine(lambda _: words("a"), limits).running() as engine:

        async def answer(count: int, name: str) -> None:
            for n in range(count):
                client = engine.send("A", f"{name}{n}", lives_on=True, is_kept=False)
                await client.read()
                await client.stream.finished.wait()
                client.reader.leave()
            engine.provider.history.clear()
            engine.provider.requests.clear()

        await answer(MOST, "warm")  # endings that are remembered take their place first
        gc.collect()
        counted = engine.sessions.kept.held_bytes
        tracemalloc.start()
        try:
            await answer(500, "more")
            gc.collect()
            weighs, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert weighs <= engine.sessions.kept.held_bytes - counted


async def test_the_grace_does_not_hurry_what_still_runs_after_the_end(
    autojump_clock: MockClock,
) -> None:
    """An answer whose subscribers are not done yet has ended all the same."""
    done: list[str] = []

    async def slow(event: ChatEvent) -> None:
        await trio.sleep(1.5)
        done.append(event.name)

    limits = replace(LIMITS, resume_grace_seconds=1)
    async with Engine(lambda _: words("a"), limits).running() as engine:
        engine.bus.subscribe("chat.token", slow)
        client = engine.send("A", lives_on=True)
        client.reader.leave()
        await client.stream.finished.wait()
        assert done == ["chat.token"]
        assert not client.stream.scope.cancel_called
