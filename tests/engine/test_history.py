"""The history in virtual time: order, fences, a store that is slow, away or broken."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.history import (
    MOST_WAITING_BYTES,
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    History,
)
from jarvis_trio.engine.policies import Policy
from jarvis_trio.errors import StoreUnavailableError, UpstreamEOFError
from jarvis_trio.events import Cause, Finish, Text
from jarvis_trio.store.base import BeginTurn, State, StoredMessage, Write
from jarvis_trio.store.memory import MemoryStore
from tests.engine.engine import Engine
from tests.scripted import Play, words


def told(engine: Engine, session: str = "s") -> list[tuple[str, str, State]]:
    """Return what is kept of a session: role, text, state."""
    return [(m.role, m.text, m.state) for m in engine.store.messages("me", session)]


def asked(engine: Engine) -> list[list[tuple[str, str]]]:
    """Return what the upstream was sent, request by request."""
    return [[(m.role, m.text) for m in request.messages] for request in engine.provider.requests]


class SlowStore(MemoryStore):
    """Does one thing before each unit of work, in the test's own step."""

    def __init__(self, trouble: Callable[[], None]) -> None:
        super().__init__()
        self.trouble = trouble
        self.applied: list[Write] = []

    def apply(self, writes: Sequence[Write]) -> None:
        self.trouble()
        super().apply(writes)
        self.applied += writes

    def last_messages(
        self, owner: str, session_id: str, *, limit: int, replaced: str | None = None
    ) -> list[StoredMessage]:
        self.trouble()
        return super().last_messages(owner, session_id, limit=limit, replaced=replaced)


def away() -> None:
    raise StoreUnavailableError("it is away")


def fine() -> None:
    pass


async def test_a_turn_is_kept_whole(autojump_clock: MockClock) -> None:
    async with Engine(lambda prompt: words("one ", "two")).running() as engine:
        client = engine.send("count")
        assert (await client.read()).endswith(b"<end stop>")
        kept = engine.store.messages("me", "s")
        assert told(engine) == [
            ("user", "count", State.COMPLETE),
            ("assistant", "one two", State.COMPLETE),
        ]
        assert {message.stream_id for message in kept} == {client.stream.id}
        assert kept[1].cause is Cause.COMPLETED
        assert kept[1].finish_reason == "stop"
        session = engine.store.session("me", "s")
        assert session is not None
        assert session.title == "count"


async def test_the_terminal_frame_comes_when_the_answer_is_in_the_store(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda prompt: words("word")).running() as engine:
        client = engine.send("hi")
        await client.read_until(b"<end")
        assert told(engine)[-1] == ("assistant", "word", State.COMPLETE)


async def test_while_an_answer_is_made_the_history_says_that_it_is_not_whole(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda prompt: Play(Text("wo"), trio.Event())).running() as engine:
        client = engine.send("hi")
        await client.read_until(b"wo")
        await wait_all_tasks_blocked()
        assert told(engine) == [
            ("user", "hi", State.COMPLETE),
            ("assistant", "", State.INTERRUPTED),
        ]
        client.reader.leave()
        await client.stream.finished.wait()
        await engine.history.drain()
        assert told(engine)[-1] == ("assistant", "wo", State.INTERRUPTED)
        assert engine.store.messages("me", "s")[-1].cause is Cause.CLIENT_DISCONNECT


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (
            Policy.INTERRUPT,
            [
                ("user", "a", State.COMPLETE),
                ("assistant", "part", State.INTERRUPTED),
                ("user", "b", State.COMPLETE),
                ("assistant", "whole", State.COMPLETE),
            ],
        ),
        (
            Policy.ROLLBACK,
            [("user", "b", State.COMPLETE), ("assistant", "whole", State.COMPLETE)],
        ),
    ],
)
async def test_what_a_new_prompt_supersedes_is_kept_or_forgotten_by_policy(
    autojump_clock: MockClock, policy: Policy, left: list[object]
) -> None:
    plays = {"a": Play(Text("part"), trio.Event()), "b": words("whole")}
    async with Engine(plays.__getitem__).running() as engine:
        first = engine.send("a")
        await first.read_until(b"part")
        second = engine.send("b", policy=policy)
        assert (await second.read()).endswith(b"<end stop>")
        assert told(engine) == left
        session = engine.store.session("me", "s")
        assert session is not None
        assert session.title == left[0][1]  # type: ignore[index]


async def test_rollback_forgets_also_what_was_cancelled_before_it_asked(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda prompt: words("whole")).running() as engine:
        engine.send("a")
        last = engine.send("b", policy=Policy.ROLLBACK)
        await last.read()
        assert told(engine) == [
            ("user", "b", State.COMPLETE),
            ("assistant", "whole", State.COMPLETE),
        ]


async def test_with_enqueue_both_turns_are_kept_in_their_order(autojump_clock: MockClock) -> None:
    async with Engine(lambda prompt: words(f"to {prompt}", gap=1)).running() as engine:
        engine.send("a")
        second = engine.send("b", policy=Policy.ENQUEUE)
        await second.read()
        assert [text for _, text, _ in told(engine)] == ["a", "to a", "b", "to b"]


async def test_a_prompt_is_the_next_turn_of_what_is_stored(autojump_clock: MockClock) -> None:
    async with Engine(lambda prompt: words(f"to {prompt}")).running() as engine:
        for prompt in ("a", "b"):
            await engine.send(prompt, continues=True).read()
        assert asked(engine) == [
            [("user", "a")],
            [("user", "a"), ("assistant", "to a"), ("user", "b")],
        ]
        # Messages are used as they are sent.
        await engine.send("c").read()
        assert asked(engine)[-1] == [("user", "c")]
        assert [text for _, text, _ in told(engine)] == ["a", "to a", "b", "to b", "c", "to c"]


async def test_what_was_interrupted_is_part_of_the_next_turn(autojump_clock: MockClock) -> None:
    plays = {"a": Play(Text("part"), trio.Event()), "b": words("whole")}
    async with Engine(plays.__getitem__).running() as engine:
        await engine.send("a", continues=True).read_until(b"part")
        await engine.send("b", continues=True).read()
        assert asked(engine)[-1] == [("user", "a"), ("assistant", "part"), ("user", "b")]


async def test_other_owners_and_sessions_know_nothing_of_it(autojump_clock: MockClock) -> None:
    async with Engine(lambda prompt: words(f"to {prompt}")).running() as engine:
        await engine.send("a", continues=True).read()
        await engine.send("b", owner="you", continues=True).read()
        await engine.send("c", session="t", continues=True).read()
        assert asked(engine)[1:] == [[("user", "b")], [("user", "c")]]


async def test_a_quarantined_stream_has_written_its_last(autojump_clock: MockClock) -> None:
    hangs = trio.Event()
    plays = {
        "a": Play(Text("part"), trio.Event(), close_hangs_until=hangs),
        "b": words("whole"),
    }
    async with Engine(plays.__getitem__).running() as engine:
        first = engine.send("a")
        await first.read_until(b"part")
        await engine.send("b").read()
        assert first.stream.quarantined
        before = told(engine)
        assert before[1] == ("assistant", "part", State.INTERRUPTED)
        hangs.set()
        await first.stream.finished.wait()
        await engine.history.drain()
        assert told(engine) == before


async def test_a_store_that_is_away_delays_nothing_and_has_all_of_it_afterwards(
    autojump_clock: MockClock,
) -> None:
    engine = Engine(lambda prompt: words(f"to {prompt}"), store=SlowStore(away))
    store = engine.store
    assert isinstance(store, SlowStore)
    async with engine.running():
        with structlog.testing.capture_logs() as logs:
            for prompt in ("a", "b", "c"):
                client = engine.send(prompt)
                await client.read()
                assert client.frames[-1][0] == 0.0
        assert [log["event"] for log in logs if "history" in log["event"]] == ["history_degraded"]
        assert engine.history.trouble == "it is away"
        assert engine.history.waiting == 6
        store.trouble = fine
        await engine.history.drain()
        assert engine.history.trouble is None
        assert [text for _, text, _ in told(engine)] == ["a", "to a", "b", "to b", "c", "to c"]


async def test_what_a_shutdown_leaves_unwritten_is_said(autojump_clock: MockClock) -> None:
    engine = Engine(lambda prompt: words(f"to {prompt}"), store=SlowStore(away))
    with structlog.testing.capture_logs() as logs:
        async with engine.running():
            await engine.send("a").read()
    [lost] = [log for log in logs if log["event"] == "history_lost"]
    assert (lost["waiting"], lost["reason"]) == (2, "it is away")


async def test_a_store_that_hangs_delays_the_end_of_one_answer_and_no_token(
    autojump_clock: MockClock,
) -> None:
    engine = Engine(lambda prompt: words("first ", "last", gap=1))
    hangs = trio.Event()

    async def hop(work: Callable[[], object], limiter: object) -> object:
        await hangs.wait()
        return work()

    engine.history._hop = hop  # type: ignore[method-assign, assignment]
    async with engine.running():
        first = engine.send("a", continues=True)
        await first.read()
        times = {frame: at for at, frame in first.frames}
        # It waits for what may be stored, and for its own end; both only so long.
        assert times[b"[first ]"] == PATIENCE_SECONDS + 1
        assert first.stream.misses_history
        second = engine.send("b", continues=True)
        await second.read()
        assert second.frames[-1][0] == 2.0
        hangs.set()
        await engine.history.drain()
        assert [text for _, text, _ in told(engine)] == ["a", "first last", "b", "first last"]


async def test_a_write_that_cannot_be_kept_takes_no_other_with_it(
    autojump_clock: MockClock,
) -> None:
    class Picky(MemoryStore):
        def apply(self, writes: Sequence[Write]) -> None:
            if any(isinstance(write, BeginTurn) and write.title == "bad" for write in writes):
                raise ValueError("secret words")
            super().apply(writes)

    engine = Engine(lambda prompt: words("word"), store=Picky())
    async with engine.running():
        with structlog.testing.capture_logs() as logs:
            clients = [engine.send(prompt, session=prompt) for prompt in ("a", "bad", "b")]
            for client in clients:
                assert (await client.read()).endswith(b"<end stop>")
        assert [log["event"] for log in logs if "history" in log["event"]] == ["history_refused"]
        assert "secret" not in str(logs)
        assert [bool(told(engine, name)) for name in ("a", "bad", "b")] == [True, False, True]
        assert engine.history.waiting == 0


async def test_what_waits_for_a_store_is_bounded(autojump_clock: MockClock) -> None:
    engine = Engine(lambda prompt: words("word"), store=SlowStore(away))
    async with engine.running():
        book = "x" * (MOST_WAITING_BYTES // 3)
        for _ in range(5):
            assert (await engine.send(book).read()).endswith(b"<end stop>")
        assert engine.history._waiting_bytes <= MOST_WAITING_BYTES
        assert engine.metrics.registry.get_sample_value("jarvis_history_lost_total") == 3


async def test_a_session_without_a_name_leaves_nothing(autojump_clock: MockClock) -> None:
    async with Engine(lambda prompt: words("word")).running() as engine:
        await engine.send("hi", is_kept=False).read()
        assert engine.store.sessions(None, limit=9) == []
        assert isinstance(engine.history, History)


async def test_deleting_a_conversation_ends_what_is_live_in_it_first(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda prompt: Play(Text("part"), trio.Event())).running() as engine:
        first = engine.send("a")
        waiting = engine.send("b", policy=Policy.ENQUEUE)
        await first.read_until(b"part")
        await engine.sessions.delete("me", "s")
        assert first.stream.finished.is_set()
        assert first.stream.cause is waiting.stream.cause is Cause.STOPPED
        assert engine.provider.open == 0
        assert engine.store.session("me", "s") is None
        assert (await first.read()).endswith(b"<error stopped>")
        await engine.assert_nothing_is_left()


async def test_deleting_does_not_wait_for_who_does_not_read_what_has_failed(
    autojump_clock: MockClock,
) -> None:
    play = Play([Text("x" * 200_000), Finish("stop")], UpstreamEOFError("cut"))
    async with Engine(lambda prompt: play).running() as engine:
        client = engine.send("a")
        await wait_all_tasks_blocked()
        assert client.stream.cause is Cause.UPSTREAM_EOF
        with trio.fail_after(3):
            await engine.sessions.delete("me", "s")
        assert client.stream.finished.is_set()
        assert engine.store.session("me", "s") is None


async def test_an_answer_that_fails_is_marked(autojump_clock: MockClock) -> None:
    async with Engine(lambda prompt: Play(Text("part"))).running() as engine:
        await engine.send("a").read()
        assert told(engine)[-1] == ("assistant", "part", State.FAILED)
        assert engine.store.messages("me", "s")[-1].cause is Cause.UPSTREAM_EOF


async def test_a_prompt_that_comes_while_the_end_is_written_changes_nothing_of_it(
    autojump_clock: MockClock,
) -> None:
    engine = Engine(lambda prompt: Play(Text("whole"), Finish("stop")), store=SlowStore(fine))
    async with engine.running():
        gate = trio.Event()
        real_hop = engine.history._hop

        async def hop(work: Callable[[], object], limiter: trio.CapacityLimiter) -> object:
            await gate.wait()
            return await real_hop(work, limiter)

        await wait_all_tasks_blocked()
        engine.history._hop = hop  # type: ignore[method-assign, assignment]
        first = engine.send("a")
        await first.read_until(b"whole")
        await wait_all_tasks_blocked()
        second = engine.send("b")
        gate.set()
        assert (await first.read()).endswith(b"<end stop>")
        await second.read()
        assert [state for _, _, state in told(engine)] == [State.COMPLETE] * 4


async def test_of_a_deleted_conversation_no_answer_can_be_read_again(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda prompt: words("secret")).running() as engine:
        clients = [engine.send("a", session, lives_on=True) for session in ("s", "t")]
        for client in clients:
            await client.read()
            await client.stream.finished.wait()
        await engine.sessions.delete("me", "s")
        assert engine.sessions.kept.find("me", clients[0].stream.id) is None
        assert engine.sessions.kept.find("me", clients[1].stream.id) is not None


async def test_a_store_that_was_away_for_a_reader_is_opened_again_without_a_write(
    autojump_clock: MockClock,
) -> None:
    engine = Engine(lambda prompt: words("word"), store=SlowStore(fine))
    store = engine.store
    assert isinstance(store, SlowStore)
    async with engine.running():
        await engine.send("a").read()
        store.trouble = away
        again = engine.send("b", continues=True, is_kept=True)
        await again.read()
        assert again.stream.misses_history
        store.trouble = fine
        await trio.sleep(2 * RETRY_SECONDS)
        assert engine.history.trouble is None
        assert [text for _, text, _ in told(engine)] == ["a", "word", "b", "word"]
        with pytest.raises(StoreUnavailableError):
            store.trouble = away
            await engine.history._read(partial(store.last_messages, "me", "s", limit=1))
        assert engine.history.trouble is not None
        store.trouble = fine
        await trio.sleep(2 * RETRY_SECONDS)
        assert engine.history.trouble is None


async def test_a_search_that_takes_long_is_no_trouble_and_holds_no_prompt_up(
    autojump_clock: MockClock,
) -> None:
    engine = Engine(lambda prompt: words("word"))
    real_hop = engine.history._hop

    async def hop(work: Callable[[], object], limiter: trio.CapacityLimiter) -> object:
        async with limiter:
            if limiter is engine.history._reading:
                await trio.sleep(100)
            return await real_hop(work, limiter)

    engine.history._hop = hop  # type: ignore[method-assign, assignment]
    async with engine.running(), trio.open_nursery() as searches:

        async def search() -> None:
            with pytest.raises(StoreUnavailableError, match="ask for less"):
                await engine.history.sessions("me", limit=1, after=None, search="x")

        for _ in range(20):
            searches.start_soon(search)
        await wait_all_tasks_blocked()
        client = engine.send("a", continues=True)
        await client.read()
        assert not client.stream.misses_history
        assert client.frames[-1][0] == 0.0
        assert engine.history.trouble is None
