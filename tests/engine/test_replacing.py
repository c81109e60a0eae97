"""A prompt that replaces an earlier turn: when that goes, and when it must not."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.history import MOST_WAITING_BYTES, RETRY_SECONDS
from jarvis_trio.engine.policies import Policy
from jarvis_trio.errors import (
    JarvisError,
    UpstreamDownError,
    UpstreamEOFError,
    UpstreamRejectedError,
)
from jarvis_trio.events import Finish, Reasoning, Text, ToolCall
from tests.engine.engine import Client, Engine
from tests.engine.test_history import SlowStore, asked, away, fine
from tests.scripted import Play, Step, words

OLD = ["a", "to a", "b", "to b"]


def told(engine: Engine) -> list[str]:
    return [message.text for message in engine.store.messages("me", "s")]


async def talk(engine: Engine) -> Client:
    """Have two turns, and return the first one's client."""
    first = engine.send("a", continues=True)
    await first.read()
    await engine.send("b", continues=True).read()
    assert told(engine) == OLD
    return first


def answering(play: Play) -> Engine:
    """Return an engine that answers "A" like this, and all else by ``to …``."""
    return Engine(lambda prompt: play if prompt == "A" else words(f"to {prompt}"))


@pytest.mark.parametrize(
    "first", [Text("x"), Reasoning("x"), ToolCall(0, "c", "f"), Finish("stop")], ids=repr
)
async def test_the_old_turns_go_with_the_first_piece_of_the_new_answer(
    autojump_clock: MockClock, first: Step
) -> None:
    accepts, begins = trio.Event(), trio.Event()
    play = Play(begins, first, Finish("stop"), before_accept=[accepts])
    async with answering(play).running() as engine:
        old = await talk(engine)
        new = engine.send("A", replaces=old.stream.id)
        for event in (accepts, begins):
            await wait_all_tasks_blocked()
            assert told(engine) == [*OLD, "A", ""]
            event.set()
        await new.read_until(b"<end")
        assert told(engine)[0] == "A"
        assert len(told(engine)) == 2
        assert asked(engine)[-1] == [("user", "A")]


async def test_they_have_gone_while_the_new_answer_is_still_made(autojump_clock: MockClock) -> None:
    async with answering(Play(Text("part"), trio.Event())).running() as engine:
        old = await talk(engine)
        await engine.send("A", replaces=old.stream.id).read_until(b"part")
        await wait_all_tasks_blocked()
        assert told(engine) == ["A", ""]


@pytest.mark.parametrize(
    "play",
    [
        Play(before_accept=[UpstreamDownError("not there")] * 2),
        Play(before_accept=[UpstreamRejectedError("too long")]),
        Play(UpstreamEOFError("cut")),
        Play(),
        Play(trio.Event()),
        Play(before_accept=[KeyError("a bug")]),
    ],
    ids=["down", "refused", "cut", "empty", "silent", "a bug of ours"],
)
async def test_a_new_answer_without_a_piece_costs_no_old_one(
    autojump_clock: MockClock, play: Play
) -> None:
    async with answering(play).running() as engine:
        old = await talk(engine)
        failed = engine.send("A", replaces=old.stream.id)
        assert b"<error" in await failed.read()
        assert told(engine) == [*OLD, "A", ""]
        # What failed is no part of the conversation, and its prompt can be sent again.
        await engine.send("c", continues=True).read()
        assert [text for _, text in asked(engine)[-1]] == [*OLD, "c"]
        engine.provider.script = lambda prompt: words(f"to {prompt}")
        await engine.send("A", replaces=failed.stream.id).read()
        assert asked(engine)[-1] == [("user", "A")]
        assert told(engine) == ["A", "to A"]


@pytest.mark.parametrize("has_begun", [False, True])
async def test_what_is_stopped_has_replaced_what_it_had_a_piece_for(
    autojump_clock: MockClock, has_begun: bool
) -> None:
    steps: list[Step] = [Text("part")] if has_begun else []
    async with answering(Play(*steps, trio.Event())).running() as engine:
        old = await talk(engine)
        new = engine.send("A", replaces=old.stream.id)
        await wait_all_tasks_blocked()
        await engine.sessions.stop(new.stream).wait()
        await engine.history.drain()
        assert told(engine) == (["A", "part"] if has_begun else [*OLD, "A", ""])


async def test_a_piece_that_a_cancel_finds_replaces_too(autojump_clock: MockClock) -> None:
    sign_of_life = Text("")
    async with answering(Play(sign_of_life, 0.01, Text("part"), trio.Event())).running() as engine:
        old = await talk(engine)
        new = engine.send("A", replaces=old.stream.id)
        await trio.sleep(0.02)
        assert told(engine) == [*OLD, "A", ""]
        await engine.sessions.stop(new.stream).wait()
        await engine.history.drain()
        assert told(engine) == ["A", "part"]


@pytest.mark.parametrize("policy", [Policy.INTERRUPT, Policy.ROLLBACK])
@pytest.mark.parametrize("has_begun", [False, True])
async def test_who_replaces_what_is_about_to_replace_means_the_same_turn(
    autojump_clock: MockClock, policy: Policy, has_begun: bool
) -> None:
    """As a user who presses Retry again, whether or not the last one has got anywhere."""
    slow = Play(trio.Event(), before_accept=[] if has_begun else [trio.Event()])
    async with answering(slow).running() as engine:
        old = await talk(engine)
        first = engine.send("A", replaces=old.stream.id)
        if has_begun:
            await wait_all_tasks_blocked()
        second = engine.send("A2", replaces=first.stream.id, policy=policy)
        await second.read()
        assert asked(engine)[-1] == [("user", "A2")]
        assert told(engine) == ["A2", "to A2"]


async def test_who_replaces_what_has_replaced_a_failed_retry_replaces_that_alone(
    autojump_clock: MockClock,
) -> None:
    """What that was asked to replace is gone by then, and so are the words for it."""
    async with answering(Play(UpstreamEOFError("cut"))).running() as engine:
        old = await talk(engine)
        failed = engine.send("A", replaces=old.stream.id)
        await failed.read()
        engine.provider.script = lambda prompt: (
            Play(Text("part"), trio.Event()) if prompt == "A2" else words(f"to {prompt}")
        )
        live = engine.send("A2", replaces=failed.stream.id)
        await live.read_until(b"part")
        await engine.send("A3", replaces=live.stream.id).read()
        assert told(engine) == ["A3", "to A3"]


async def test_what_is_refused_replaces_nothing(autojump_clock: MockClock) -> None:
    async with answering(Play(Text("part"), trio.Event())).running() as engine:
        old = await talk(engine)
        live = engine.send("A", continues=True)
        await live.read_until(b"part")
        with pytest.raises(JarvisError):
            engine.send("c", replaces=old.stream.id, policy=Policy.REJECT)
        await wait_all_tasks_blocked()
        assert told(engine) == [*OLD, "A", ""]


async def test_one_that_waits_its_turn_replaces_what_has_come_meanwhile(
    autojump_clock: MockClock,
) -> None:
    async with Engine(lambda prompt: words(f"to {prompt}", gap=1)).running() as engine:
        old = await talk(engine)
        engine.send("c", continues=True)
        await engine.send("A", replaces=old.stream.id, policy=Policy.ENQUEUE).read()
        assert asked(engine)[-1] == [("user", "A")]
        assert told(engine) == ["A", "to A"]


async def test_a_quarantined_answer_takes_nothing_out(autojump_clock: MockClock) -> None:
    hangs = trio.Event()
    async with answering(Play(trio.Event(), close_hangs_until=hangs)).running() as engine:
        old = await talk(engine)
        stuck = engine.send("A", replaces=old.stream.id)
        await wait_all_tasks_blocked()
        await engine.send("c", continues=True).read()
        assert stuck.stream.quarantined
        stuck.stream.answer.add([Text("late")])
        hangs.set()
        await stuck.stream.finished.wait()
        await engine.history.drain()
        assert told(engine) == [*OLD, "A", "", "c", "to c"]


async def test_it_is_made_up_for_when_the_store_is_back(autojump_clock: MockClock) -> None:
    store = SlowStore(fine)
    engine = Engine(lambda prompt: words(f"to {prompt}"), store=store)
    async with engine.running():
        old = await talk(engine)
        store.trouble = away
        new = engine.send("A", replaces=old.stream.id)
        await new.read()
        assert new.stream.misses_history
        store.trouble = fine
        await trio.sleep(2 * RETRY_SECONDS)
        assert told(engine) == ["A", "to A"]


async def test_a_turn_that_could_not_be_kept_takes_nothing_out(autojump_clock: MockClock) -> None:
    store = SlowStore(fine)
    engine = Engine(lambda prompt: words(f"to {prompt[:9]}"), store=store)
    async with engine.running():
        old = await talk(engine)
        store.trouble = away
        await engine.send("x" * MOST_WAITING_BYTES, replaces=old.stream.id).read()
        store.trouble = fine
        await trio.sleep(2 * RETRY_SECONDS)
        assert told(engine) == OLD


async def test_of_a_long_conversation_it_is_told_what_comes_before(
    autojump_clock: MockClock,
) -> None:
    """Not of the last messages, which are as many as a next turn may bring along."""
    async with Engine(lambda prompt: words(f"to {prompt}")).running() as engine:
        await engine.send("first", continues=True).read()
        second = engine.send("second", continues=True)
        await second.read()
        for number in range(210):
            await engine.send(f"{number}").read()
        await engine.send("new", replaces=second.stream.id).read()
        assert [text for _, text in asked(engine)[-1]] == ["first", "to first", "new"]
        assert told(engine) == ["first", "to first", "new", "to new"]
