"""Two conversations at once, of which one is in turmoil."""

from itertools import pairwise
from os.path import commonprefix
from time import monotonic_ns

import trio
from msgspec import Struct

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import Call
from jarvis_trio.storm.conversation import Conversation
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.sim.shapes import text_of
from jarvis_trio.storm.stage import Stage
from jarvis_trio.storm.trial import Trial

TOKENS = 30
RATE = 50
CALM = f"sim?tps={RATE}&tokens={TOKENS}"
WILD = "sim?tps=200&tokens=1000000"
"""Another pace than the calm one's: a token that strays is out of its order there."""


class _Reading(Struct):
    """How B's answer came."""

    answer: Answer
    longest_gap_ns: int


async def play_two_sessions(stage: Stage, trial: Trial) -> None:
    """Read B's answer alone, then while prompts of A are superseded all the time."""
    witness = stage.witness
    alone = await _read(stage)
    wild = [stage.new_name("wild") for _ in range(stage.options.prompts)]
    for marker in wild:
        await witness.script(WILD, marker)
    async with trio.open_nursery() as nursery:
        conversation = Conversation(stage, nursery)
        beside = await _read(stage, conversation, wild)
        nursery.cancel_scope.cancel(reason="B has been read")
    _judge(stage, trial, alone, beside)
    texts = [read_answer(call).text for call in conversation.calls.values()]
    strays = sum(not text_of(len(text)).startswith(text) for text in texts)
    trial.expect("A's answers hold only their own text", strays == 0, f"{strays} do not")
    trial.expect("nothing stays open at the model server", await stage.is_all_closed())
    if not any(texts):
        trial.note("A's prompts had no text while B had")
    if conversation.session is None:
        trial.note("no sessions: A's client left each prompt before the next")


async def _read(
    stage: Stage, neighbour: Conversation | None = None, prompts: list[str] | None = None
) -> _Reading:
    """Read an answer, and from its first text on have the neighbour type."""
    call: Call | None = None
    with trio.move_on_after(TOKENS / RATE + stage.options.patience_seconds):
        async with stage.asking(CALM, session=stage.new_session()) as call:
            await call.text()
            async with trio.open_nursery() as typing:
                if neighbour is not None:
                    typing.start_soon(_type, neighbour, prompts or [])
                await call.rest()
                typing.cancel_scope.cancel(reason="the answer has been read")
    if call is None:
        return _Reading(Answer(0), 0)
    times = [time for time, _ in call.pieces]
    if call.ended_ns is None:
        times.append(monotonic_ns())  # given up
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return _Reading(read_answer(call), max(gaps, default=0))


async def _type(conversation: Conversation, prompts: list[str]) -> None:
    """Type all of them within the time of one answer."""
    for marker in prompts:
        conversation.type(marker)
        await trio.sleep(TOKENS / RATE / len(prompts))


def _judge(stage: Stage, trial: Trial, alone: _Reading, beside: _Reading) -> None:
    trial.expect("B is answered in full without A", alone.answer.is_complete, alone.answer)
    trial.expect("B is answered in full beside A", beside.answer.is_complete, beside.answer)
    whole, text = text_of(TOKENS), beside.answer.text
    same = len(commonprefix([whole, text]))  # noqa: RUF071 - no paths
    trial.expect(
        "B's text is the same as without A",
        text == alone.answer.text == whole,
        f"{len(text)} characters, of which the first {same} are the model server's",
    )
    lengthened_ns = beside.longest_gap_ns - alone.longest_gap_ns
    trial.expect(
        "B is not held up by what happens to A",
        lengthened_ns < stage.options.patience_seconds / 2 * 1e9,
        f"longest gap {beside.longest_gap_ns / 1e6:.0f} ms, "
        f"without A {alone.longest_gap_ns / 1e6:.0f} ms",
    )
    trial.measure("longest gap in B's answer without A", [alone.longest_gap_ns])
    trial.measure("longest gap in B's answer beside A", [beside.longest_gap_ns])


TWO_SESSIONS = Scenario(
    "two-sessions",
    "While prompts of one conversation are superseded, the answer of another goes on, with the "
    "same text and without a pause.",
    play_two_sessions,
)
