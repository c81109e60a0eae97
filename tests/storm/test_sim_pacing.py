"""Tokens leave when they are due: on a clock that the test turns."""

import json
import math
from typing import cast

import trio
import trio.testing

from jarvis_trio.storm.sim.answers import Answer
from jarvis_trio.storm.sim.asks import read_ollama
from jarvis_trio.storm.sim.pacing import Pacer
from jarvis_trio.storm.sim.protocol import Reply
from jarvis_trio.storm.sim.recording import Recording
from jarvis_trio.storm.sim.scenarios import SimOptions, read_scenario
from jarvis_trio.storm.sim.watch import PeerWatch
from tests.storm.raw_client import chat_body, words


class WrittenReply:
    """Stands in for a `Reply`: notes when how many tokens were written; may be slow once."""

    def __init__(self, slow_at: int | None = None, slow_seconds: float = 0) -> None:
        self.keep_alive = True
        self.started = 0.0
        self.writes: list[tuple[float, int]] = []
        self.body = b""
        self._slow_at = slow_at
        self._slow_seconds = slow_seconds

    async def start(self, content_type: str, length: int | None = None) -> None:
        self.started = trio.current_time()

    async def write(self, payload: bytes) -> None:
        self.writes.append((trio.current_time(), payload.count(b'"w')))
        self.body += payload
        if len(self.writes) == self._slow_at:
            await trio.sleep(self._slow_seconds)

    async def end(self) -> None:
        pass


async def write_answer(model: str, reply: WrittenReply, nursery: trio.Nursery) -> None:
    ask = read_ollama(chat_body(model))
    with PeerWatch() as watch:
        recording = Recording(watch)
        exchange = recording.arrival(None, "ollama", model, 1)
        pacer = Pacer()
        nursery.start_soon(pacer.run)
        scenario = read_scenario(model, SimOptions())
        answer = Answer(ask, scenario, exchange, cast("Reply", reply), recording, pacer)
        assert await answer.run()


async def test_token_i_leaves_at_i_over_the_rate_and_lateness_does_not_add_up(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    reply = WrittenReply()
    begun = trio.current_time()
    await write_answer("sim?tps=30&tokens=900&headers_ms=250&first_ms=500", reply, nursery)
    assert 0.25 <= reply.started - begun <= 0.251 + 1e-9
    late = [t - begun - 0.75 - i / 30 for i, (t, _) in enumerate(reply.writes[:-1])]
    assert [n for _, n in reply.writes] == [1] * 900 + [0]
    assert -1e-9 <= min(late) <= max(late) <= 0.001 + 1e-9


async def test_overdue_tokens_leave_in_one_write(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    reply = WrittenReply(slow_at=10, slow_seconds=1.005)
    await write_answer("sim?tps=20&tokens=100", reply, nursery)
    assert [n for _, n in reply.writes] == [1] * 10 + [20] + [1] * 70 + [0]
    assert reply.writes[-2][0] - reply.writes[0][0] - 99 / 20 <= 0.001 + 1e-9


async def test_as_fast_as_possible_still_leaves_others_their_turn(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    reply = WrittenReply()
    await write_answer("sim?tps=0&tokens=1000", reply, nursery)
    assert max(n for _, n in reply.writes) == 64
    assert sum(n for _, n in reply.writes) == 1000
    assert reply.body.count(b'"w') == len(words(1000).split())


async def test_everyone_wakes_in_the_millisecond_after_their_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    late: list[float] = []
    pacer = Pacer()

    async def sleeper(seconds: float) -> None:
        due = trio.current_time() + seconds
        await pacer.sleep_until(due)
        late.append(trio.current_time() - due)

    async with trio.open_nursery() as running:
        running.start_soon(pacer.run)
        async with trio.open_nursery() as sleepers:
            for number in range(500):
                sleepers.start_soon(sleeper, (number * 7919 % 500) / 333)
        running.cancel_scope.cancel(reason="all are awake")
    assert len(late) == 500
    assert -1e-9 <= min(late) <= max(late) <= 0.001 + 1e-9


async def test_who_is_never_due_sleeps_and_holds_nobody_up(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    pacer = Pacer()
    nursery.start_soon(pacer.run)
    with trio.move_on_after(1000) as waiting:
        await pacer.sleep_until(math.inf)  # the second token at a rate of 1e-320
    assert waiting.cancelled_caught
    await pacer.sleep_until(2000)


async def test_a_sleeper_that_is_cancelled_leaves_the_others_alone(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    pacer = Pacer()
    nursery.start_soon(pacer.run)
    due = trio.current_time() + 2
    with trio.move_on_after(1) as scope:
        await pacer.sleep_until(due)
    assert scope.cancelled_caught
    await pacer.sleep_until(due)
    assert trio.current_time() - due <= 0.001 + 1e-9


async def test_jitter_makes_tokens_late_by_at_most_so_much_and_never_early_or_out_of_order(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    reply = WrittenReply()
    begun = trio.current_time()
    await write_answer("sim?tps=20&tokens=200&jitter_ms=40", reply, nursery)
    late = [t - begun - i / 20 for i, (t, _) in enumerate(reply.writes[:-1])]
    assert [n for _, n in reply.writes] == [1] * 200 + [0]
    assert -1e-9 <= min(late) < 0.002
    assert 0.038 < max(late) <= 0.041 + 1e-9
    assert text_in(reply.body) == words(200)


def text_in(body: bytes) -> str:
    lines = [json.loads(line) for line in body.splitlines()]
    return "".join(line["message"]["content"] for line in lines)
