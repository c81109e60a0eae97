"""Prompts on the heels of prompts."""

from itertools import pairwise
from math import inf

import trio

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import Call
from jarvis_trio.storm.conversation import Conversation
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.sim.shapes import text_of
from jarvis_trio.storm.stage import BRIEF, BRIEF_TOKENS, GOOD, LONG, MOST_TOKENS, Stage
from jarvis_trio.storm.timeline import rows_of
from jarvis_trio.storm.trial import Trial
from jarvis_trio.storm.witness import Exchange

TEN = 10


async def play_rapid(stage: Stage, trial: Trial) -> None:
    """Send prompts faster than they are answered; only the last may be answered."""
    markers = [stage.new_name("rapid") for _ in range(max(2, stage.options.prompts))]
    for marker in markers[:-1]:
        await stage.script(marker, LONG)
    await stage.script(markers[-1], GOOD)
    with trio.CancelScope() as patience:
        async with trio.open_nursery() as nursery:
            conversation = Conversation(stage, nursery)
            for marker in markers[:-1]:
                conversation.type(marker)
                await trio.sleep(stage.options.gap_seconds)
            # Prompts that arrive together have no order: the last has to be the last.
            with trio.move_on_after(stage.options.patience_seconds):
                await conversation.wait_for_head(markers[-2])
            conversation.type(markers[-1], MOST_TOKENS[GOOD])
            patience.deadline = trio.current_time() + stage.options.patience_seconds
    _judge_answers(stage, trial, conversation, markers)
    if stage.has_witness:
        await _judge_upstream(stage, trial, conversation, markers)
    answers = {marker: read_answer(call) for marker, call in conversation.calls.items()}
    seen = await stage.witness.events() if stage.has_witness else []
    trial.timeline = rows_of(conversation.calls, answers, seen)


def _judge_answers(
    stage: Stage, trial: Trial, conversation: Conversation, markers: list[str]
) -> None:
    answers = {marker: read_answer(call) for marker, call in conversation.calls.items()}
    hang = len(markers) - len(conversation.ended)
    waited = (
        f"{hang} of {len(markers)} had none {stage.options.patience_seconds:g} s after the last"
    )
    trial.expect("every prompt comes to an end", not hang, waited if hang else f"{len(markers)}")
    last = answers.get(markers[-1], Answer(0))
    trial.expect("the last prompt is answered in full", last.is_complete, last)
    if conversation.session is None:
        trial.note("no sessions: each prompt's client left before the next prompt")
    else:
        others = [answers[marker] for marker in markers[:-1] if marker in conversation.ended]
        dishonest = [str(answer) for answer in others if not answer.is_honest]
        trial.expect(
            "the others end with an error that says so", not dishonest, "; ".join(dishonest[:3])
        )
        if stage.has_witness:
            complete = sum(answer.is_complete for answer in others)
            sentence = "none of the others is answered in full"
        else:  # a model server of its own may have answered before the next prompt came
            complete = _whole_beside_a_later(conversation, markers)
            sentence = "none of the others is answered in full beside a later one"
        trial.expect(sentence, complete == 0, f"{complete} were")
    last_call = conversation.calls.get(markers[-1])
    trial.measure("last prompt to its first text", _times_to_first_text([last_call]))


def _whole_beside_a_later(conversation: Conversation, markers: list[str]) -> int:
    """Count the whole answers that ended when a later prompt had text already."""
    count = 0
    first_text = inf
    for marker in reversed(markers):
        if (call := conversation.calls.get(marker)) is not None:
            ended = call.ended_ns or inf
            count += ended > first_text and read_answer(call).is_complete
            first_text = min(first_text, call.first_text_ns or inf)
    return count


async def _judge_upstream(
    stage: Stage, trial: Trial, conversation: Conversation, markers: list[str]
) -> None:
    await stage.is_all_closed()
    seen = (await stage.witness.stats()).by_marker
    exchanges = [exchange for marker in markers for exchange in seen.get(marker, ())]
    still = sum(exchange.is_open for exchange in exchanges)
    trial.expect(
        "nothing stays open at the model server",
        still == 0,
        f"{still} of {len(exchanges)} that it was asked",
    )
    if conversation.session is not None:
        most = await stage.witness.most_at_once(markers)
        at_once = "the model server never has two of the session at once"
        trial.expect(at_once, most <= 1, f"at most {most}")
    name = "departure" if conversation.session is None else "next prompt"
    trial.measure(f"{name} to the close at the model server", _closes(conversation, markers, seen))


def _closes(
    conversation: Conversation, markers: list[str], seen: dict[str, list[Exchange]]
) -> list[int]:
    """Return how long after its end was due each prompt was closed at the model server."""
    times = []
    for marker, following in pairwise(markers):
        if (call := conversation.calls.get(following)) is None:
            continue
        due = call.sent_ns if conversation.session else conversation.calls[marker].left_ns
        closed = [exchange.closed_ns for exchange in seen.get(marker, ())]
        # What closed before was closed by a prompt that overtook the following one.
        times += [end - due for end in closed if due is not None and end is not None and end > due]
    return times


async def play_ten_in_a_row(stage: Stage, trial: Trial) -> None:
    """Ask ten times in one session, each time waiting for the answer."""
    session = stage.new_session()
    calls: list[Call] = []
    answers: list[Answer] = []
    for _ in range(TEN):
        answer = Answer(0)
        with trio.move_on_after(stage.options.patience_seconds) as patience:
            async with stage.asking(BRIEF, session=session) as call:
                calls.append(call)
                await call.rest()
            answer = read_answer(call)
        answers.append(answer)
        if not answer.is_complete:
            break
    number = len(answers)
    hangs = f"number {number} was not answered within {stage.options.patience_seconds:g} s"
    trial.expect(
        "none of them hangs", not patience.cancelled_caught, "" if answer.status else hangs
    )
    complete = sum(answer.is_complete for answer in answers)
    seen = f"{complete} of {TEN}" + ("" if answer.is_complete else f"; number {number}: {answer}")
    trial.expect("each prompt is answered in full before the next", complete == TEN, seen)
    trial.measure("prompt to its first text", _times_to_first_text(calls))
    if session is None:
        trial.note("no sessions: ten prompts on ten connections")
    if stage.has_witness:
        whole = text_of(BRIEF_TOKENS)
        lossy = sum(answer.text != whole for answer in answers if answer.is_complete)
        trial.expect("each answer is what the model server said", lossy == 0, f"{lossy} are not")
        trial.expect("nothing stays open at the model server", await stage.is_all_closed())


def _times_to_first_text(calls: list[Call | None] | list[Call]) -> list[int]:
    return [
        call.first_text_ns - call.sent_ns
        for call in calls
        if call is not None and call.first_text_ns is not None
    ]


RAPID = Scenario(
    "rapid",
    "A new prompt ends the answer before it, honestly, and is answered itself; the model server "
    "never works for two prompts of one conversation at once.",
    play_rapid,
)

TEN_IN_A_ROW = Scenario(
    "ten-in-a-row",
    "Ten prompts, one after the other in one conversation, are all answered in full.",
    play_ten_in_a_row,
)
