"""Admission: a place per session, given back after every kind of ending (I6)."""

import re
from collections.abc import Callable

import hypothesis
import pytest
import trio
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.admission import Admission
from jarvis_trio.errors import OverloadedError, UpstreamBusyError, UpstreamEOFError
from jarvis_trio.events import Cause, Finish, Text
from tests.engine.engine import Client, Engine
from tests.scripted import Play, words


def stuck() -> Play:
    return Play(Text("a"), trio.Event())


def test_places_are_taken_up_to_the_limit_and_given_back() -> None:
    admission = Admission(2)
    admission.check()
    admission.take()
    admission.check()
    admission.take()
    with pytest.raises(OverloadedError) as refused:
        admission.check()
    assert "2 answers" in refused.value.message
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    assert admission.taken == 2
    admission.give_back()
    admission.check()


def test_a_quarantined_stream_is_counted_whatever_the_limit() -> None:
    admission = Admission(1)
    admission.take()
    admission.take()
    assert admission.taken == 2
    admission.give_back()
    with pytest.raises(OverloadedError):
        admission.check()
    admission.give_back()
    admission.check()


ENDINGS = {
    "completed": words("a"),
    "refused": Play(before_accept=[UpstreamBusyError("busy")]),
    "upstream eof": Play(Text("a"), UpstreamEOFError("cut")),
    "crash": Play(Text("a"), KeyError("bug")),
    "timeout": Play(trio.Event()),
    "stopped": stuck(),
    "client leaves": stuck(),
    "client leaves at once": stuck(),
    "superseded": stuck(),
    "shutdown": stuck(),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_place_is_given_back_after(autojump_clock: MockClock, ending: str) -> None:
    plays = {"A": ENDINGS[ending], "B": words("b")}
    async with Engine(plays.__getitem__, max_streams=1).running() as engine:
        client = engine.send("A")
        assert engine.admission.taken == 1
        if ending == "client leaves at once":
            client.reader.leave()
        await wait_all_tasks_blocked()
        if ending == "stopped":
            client.stream.cancel(Cause.STOPPED)
        elif ending == "client leaves":
            client.reader.leave()
        elif ending == "superseded":
            engine.send("B")
        elif ending == "shutdown":
            await engine.sessions.close()
        await client.stream.finished.wait()
        await engine.assert_nothing_is_left()
        if ending != "shutdown":
            assert await engine.send("B", session="next").read() == b"<open>[b]<end stop>"
            await engine.assert_nothing_is_left()


async def test_the_place_is_the_session_s_until_its_last_stream_has_unwound(
    autojump_clock: MockClock,
) -> None:
    """One place for however many prompts; free as soon as the last of them is gone."""
    let_go = trio.Event()
    plays = {
        "A": Play(trio.Event(), close_hangs_until=let_go),
        "B": stuck(),
        "C": stuck(),
    }
    async with Engine(plays.__getitem__, max_streams=1).running() as engine:
        clients = [engine.send(name) for name in "AB"]
        await wait_all_tasks_blocked()
        clients.append(engine.send("C"))
        await wait_all_tasks_blocked()
        assert engine.admission.taken == 1
        with pytest.raises(OverloadedError):
            engine.send("X", session="other")
        let_go.set()
        await clients[2].read_until(b"[a]")
        assert engine.admission.taken == 1
        clients[2].reader.leave()
        await engine.assert_nothing_is_left()


async def test_a_quarantined_stream_has_a_place_of_its_own_until_it_is_gone(
    autojump_clock: MockClock,
) -> None:
    """The session's place goes to the successor, and back when that has ended."""
    let_go = trio.Event()
    plays = {"A": Play(trio.Event(), close_hangs_until=let_go), "B": stuck(), "C": words("c")}
    async with Engine(plays.__getitem__, max_streams=2).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B")
        await second.read_until(b"[a]")
        assert first.stream.quarantined
        assert engine.admission.taken == 2
        with pytest.raises(OverloadedError):
            engine.send("C", session="other")
        second.reader.leave()
        await second.stream.finished.wait()
        assert engine.admission.taken == 1
        third = engine.send("C")  # the same session, begun anew
        assert engine.admission.taken == 2
        assert await third.read() == b"<open>[c]<end stop>"
        await third.stream.finished.wait()
        assert engine.admission.taken == 1
        let_go.set()
        await first.stream.finished.wait()
        await engine.assert_nothing_is_left()


async def test_a_quarantined_stream_that_ends_while_its_session_lives_frees_only_its_own_place(
    autojump_clock: MockClock,
) -> None:
    let_go = trio.Event()
    plays = {"A": Play(trio.Event(), close_hangs_until=let_go), "B": stuck()}
    async with Engine(plays.__getitem__).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        second = engine.send("B")
        await second.read_until(b"[a]")
        let_go.set()
        await first.stream.finished.wait()
        assert engine.admission.taken == 1
        assert second.stream.cause is None
        second.reader.leave()
        await engine.assert_nothing_is_left()


async def test_a_cleanup_that_hangs_without_a_successor_keeps_the_session_s_place(
    autojump_clock: MockClock,
) -> None:
    """The next prompt waits only for what is left of the cleanup's time: here, nothing."""
    let_go = trio.Event()
    plays = {"A": Play(trio.Event(), close_hangs_until=let_go), "B": words("b")}
    async with Engine(plays.__getitem__).running() as engine:
        first = engine.send("A")
        await wait_all_tasks_blocked()
        first.reader.leave()
        await trio.sleep(100)
        assert engine.admission.taken == 1
        asked_at = trio.current_time()
        assert await engine.send("B").read() == b"<open>[b]<end stop>"
        assert trio.current_time() == asked_at
        assert first.stream.quarantined
        let_go.set()
        await engine.assert_nothing_is_left()


async def test_a_prompt_that_is_refused_leaves_nothing(autojump_clock: MockClock) -> None:
    async with Engine(lambda prompt: stuck(), max_streams=1).running() as engine:
        client = engine.send("A")
        for number in range(10):
            with pytest.raises(OverloadedError):
                engine.send("X", session=str(number))
        client.reader.leave()
        await engine.assert_nothing_is_left()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "stop", "leave"]),
        st.integers(0, 2),  # which session
        st.sampled_from(["whole", "stuck", "slow", "eof", "crash", "hangs"]),
        st.sampled_from([0.0, 0.0, 0.001, 0.05, 1.0, 2.5]),
    ),
    max_size=20,
)


def play_of(kind: str) -> Play:
    make: dict[str, Callable[[], Play]] = {
        "whole": lambda: words("a"),
        "stuck": stuck,
        "slow": lambda: words("a", "b", gap=0.3),
        "eof": lambda: Play(Text("a"), UpstreamEOFError("cut")),
        "crash": lambda: Play(Text("a"), Finish("stop"), KeyError("bug")),
        "hangs": lambda: Play(Text("a"), trio.Event(), close_hangs_until=trio.Event()),
    }
    return make[kind]()


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(STEPS)
def test_after_any_storm_every_place_is_free_and_nobody_waits(
    steps: list[tuple[str, int, str, float]],
) -> None:
    """I1, I4, I5, I6 for any order of prompts, stops and departures, hung cleanups among them."""

    async def storm() -> None:
        async with Engine(play_of, max_streams=2).running() as engine:
            clients: list[Client] = []
            for what, which, kind, pause in steps:
                if what == "send":
                    try:
                        clients.append(engine.send(kind, session=str(which)))
                    except OverloadedError:
                        assert engine.admission.taken >= 2
                elif clients and what == "stop":
                    clients[which % len(clients)].stream.cancel(Cause.STOPPED)
                elif clients and what == "leave":
                    clients[-1 - which % len(clients)].reader.leave()
                await trio.sleep(pause)
                live = [s for s in engine.sessions.streams if not s.quarantined]
                holders = [s for s in live if s.started_at is not None]
                assert len(holders) == len({s.prompt.session_id for s in holders})
                quarantined = len(engine.sessions.streams) - len(live)
                assert engine.admission.taken == len(engine.sessions._sessions) + quarantined
            for client in clients:
                client.stream.cancel(Cause.STOPPED)
            for client in clients:
                with trio.fail_after(2000):
                    received = await client.read()
                markers = len(re.findall(rb"<(?:end|error) [a-z_]+>", received))
                assert markers == (client.stream.cause is not Cause.CLIENT_DISCONNECT)
            await trio.sleep(1001)  # hung cleanups give up
            await engine.assert_nothing_is_left()

    trio.run(storm, clock=MockClock(autojump_threshold=0))
