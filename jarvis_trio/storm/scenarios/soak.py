"""Everything that users do, at random, for as long as one likes."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from random import Random
from typing import Final

import trio
from msgspec import Struct, field

from jarvis_trio.storm.answer import read_answer
from jarvis_trio.storm.call import CALL_ERRORS, Call, in_words
from jarvis_trio.storm.descriptors import Holdings, read_holdings
from jarvis_trio.storm.numbered_text import what_is_wrong
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.load import START_SECONDS, need_descriptors
from jarvis_trio.storm.stage import LOADING, LONG, Stage
from jarvis_trio.storm.trial import Trial

TOKENS: Final = 40
SHORT: Final = f"sim?tps=200&tokens={TOKENS}&named=1"
FLOOD_TOKENS: Final = 1000
FLOOD: Final = f"sim?tps=0&tokens={FLOOD_TOKENS}&named=1"
SMALL_BUFFER: Final = 4096
SPARE_DESCRIPTORS: Final = 5
SLOW_READ_SECONDS: Final = 0.002
MOST_TOKENS: Final = 100
"""Of one answer, where the model server is not ours to script."""


Run = Callable[[], Awaitable[None]]


class Tally(Struct):
    """What all clients have found so far."""

    begun: int = 0
    ended: int = 0
    plays: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    dishonest: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    first_text_ns: list[int] = field(default_factory=list)


class Client:
    """One user, who does one thing after the other.

    Its choices depend on the seed and its number only. Each behaviour that it asks of the upstream
    has a marker of its own, so that text of another client, or of its own prompt before, shows.
    """

    def __init__(self, stage: Stage, tally: Tally, number: int) -> None:
        self._stage = stage
        self._tally = tally
        self._random = Random(f"{stage.options.seed}-{number}")  # noqa: S311 - chance, no secret
        self._name = stage.new_name("soak")
        self._session = self._name if stage.abilities.has_sessions else None
        self._until = 0.0
        self._plays = {
            "answered": self.answered,
            "left at once": self.left_at_once,
            "left while waiting": self.left_while_waiting,
            "left while reading": self.left_while_reading,
            "read slowly": self.read_slowly,
        }
        if self._session is not None:
            self._plays["superseded"] = self.superseded

    async def prepare(self) -> None:
        """Write the script, and have one prompt answered."""
        if self._stage.has_witness:
            for behaviour in (SHORT, LONG, LOADING, FLOOD):
                await self._stage.witness.script(behaviour, self._marker(behaviour))
        await self._play("answered")

    async def run(self, until: float) -> None:
        """Do things until that time, trio's."""
        self._until = until
        while trio.current_time() < until:
            await self._play(self._random.choice(list(self._plays)))

    async def _play(self, name: str) -> None:
        tally = self._tally
        tally.begun += 1
        try:
            await self._plays[name]()
        except CALL_ERRORS as error:
            tally.dishonest.append(f"{name}: no connection ({in_words(error)})")
            await trio.sleep(0.1)  # a server that is not there is not asked all the time
        tally.plays[name] += 1
        tally.ended += 1

    # What users do.

    async def answered(self) -> None:
        """Wait for the answer."""
        async with self._asking(SHORT) as call:
            await call.rest()
            self._judge_whole("answered", call, TOKENS)
            if call.first_text_ns is not None:
                self._tally.first_text_ns.append(call.first_text_ns - call.sent_ns)

    async def superseded(self) -> None:
        """Type the next prompt while the answer comes."""
        async with self._asking(LONG) as first:
            await first.text()
            async with self._asking(SHORT) as second:
                await first.rest()
                await second.rest()
                self._judge_whole("the prompt that superseded", second, TOKENS)
        answer = read_answer(first)
        if not answer.is_honest or (answer.is_complete and self._stage.has_witness):
            self._tally.dishonest.append(f"superseded: {answer}")

    async def left_at_once(self) -> None:
        """Close the connection behind the request."""
        async with self._asking(SHORT):
            pass

    async def left_while_waiting(self) -> None:
        """Close it before there is any text."""
        async with self._asking(LOADING) as call:
            with trio.move_on_after(self._random.uniform(0, 0.2)):
                await call.rest()

    async def left_while_reading(self) -> None:
        """Close it in the middle of the text, politely or not."""
        async with self._asking(LONG) as call:
            await call.text()
            if self._random.random() < 0.5:
                call.reset()

    async def read_slowly(self) -> None:
        """Take a large answer in small bites, and in large ones when the soak is over.

        How many bytes a server makes of a word is its own affair: none is to fail for our slowness.
        """
        async with self._asking(FLOOD, receive_buffer=SMALL_BUFFER) as call:
            while trio.current_time() < self._until and await call.read():  # noqa: ASYNC110 - slow on purpose
                await trio.sleep(SLOW_READ_SECONDS)
            call.hurry()
            await call.rest()
            self._judge_whole("read slowly", call, FLOOD_TOKENS)

    def _asking(
        self, behaviour: str, receive_buffer: int | None = None
    ) -> AbstractAsyncContextManager[Call]:
        return self._stage.asking(
            None,
            marker=self._marker(behaviour),
            session=self._session,
            receive_buffer=receive_buffer,
            most_tokens=MOST_TOKENS,
        )

    def _marker(self, behaviour: str) -> str:
        return f"{self._name}-{(SHORT, LONG, LOADING, FLOOD).index(behaviour)}"

    def _judge_whole(self, what: str, call: Call, tokens: int) -> None:
        answer = read_answer(call)
        if not answer.is_honest:
            self._tally.dishonest.append(f"{what}: {answer}")
        elif not answer.is_complete:
            self._tally.refusals[f"{what}: {answer}"] += 1
        elif self._stage.has_witness:
            name = self._marker(SHORT if tokens == TOKENS else FLOOD)
            if (wrong := what_is_wrong(answer.text, name, tokens)) is not None:
                self._tally.wrong.append(f"{what}: {wrong}")


async def play_soak(stage: Stage, trial: Trial) -> None:
    """Let many clients do as they like; nothing may be left of it."""
    need_descriptors(2 * stage.options.sessions)
    tally = Tally()
    clients = [Client(stage, tally, number) for number in range(stage.options.sessions)]
    await _run_all(stage, [client.prepare for client in clients])
    closed = not stage.has_witness or await stage.is_all_closed()
    before = None if stage.options.pid is None else read_holdings(stage.options.pid)
    if closed:
        until = trio.current_time() + stage.options.soak_seconds
        await _run_all(stage, [partial(client.run, until) for client in clients], until)
    _judge(stage, trial, tally)
    if stage.has_witness:
        trial.expect("nothing stays open at the model server", await stage.is_all_closed())
    if stage.options.pid is not None and before is not None:
        await _judge_holdings(stage, trial, stage.options.pid, before)


async def _run_all(stage: Stage, runs: list[Run], until: float = 0.0) -> None:
    """Begin them one after the other; wait for them, but not for ever."""
    began = trio.current_time()
    with trio.move_on_at(max(until, began + START_SECONDS) + stage.options.patience_seconds):
        async with trio.open_nursery() as nursery:
            for number, run in enumerate(runs):
                await trio.sleep_until(began + START_SECONDS * number / len(runs))
                nursery.start_soon(run)


def _judge(stage: Stage, trial: Trial, tally: Tally) -> None:
    told = ", ".join(f"{number} {name}" for name, number in sorted(tally.plays.items()))
    trial.note(f"{tally.ended} prompts of {stage.options.sessions} clients: {told}")
    left = tally.begun - tally.ended
    seen = f"{left} of {tally.begun} did not" if left else ""
    trial.expect("every prompt comes to its end", not left, seen)
    trial.expect(
        "every answer that is waited for is whole, or says why not",
        not tally.dishonest,
        _told(tally.dishonest),
    )
    for how, number in tally.refusals.most_common(3):
        trial.note(f"{how}: {number} times")
    if stage.has_witness:
        trial.expect("every whole answer has its own text", not tally.wrong, _told(tally.wrong))
    else:
        trial.note("without --sim the model server's side and the texts are not judged")
    trial.measure("prompt to first text", tally.first_text_ns)


def _told(faults: list[str]) -> str:
    return f"{len(faults)} not; {'; '.join(faults[:3])}" if faults else ""


async def _judge_holdings(stage: Stage, trial: Trial, pid: int, before: Holdings) -> None:
    """See that descriptors come back. Connections that are kept for reuse were there before."""
    most = before.descriptors + SPARE_DESCRIPTORS + stage.options.sessions // 10
    after = before
    with trio.move_on_after(stage.options.patience_seconds):
        while (now := read_holdings(pid)) is not None:
            after = now
            if after.descriptors <= most:
                break
            await trio.sleep(0.05)
    seen = f"{before.descriptors} before, {after.descriptors} after"
    trial.expect("the server gives its descriptors back", after.descriptors <= most, seen)
    trial.note(f"the server's processes held {before} before, {after} after")


SOAK = Scenario(
    "soak",
    "Whatever many users do at once, and for however long: each gets an honest answer, and when "
    "they have gone, nothing is left of it.",
    play_soak,
)
