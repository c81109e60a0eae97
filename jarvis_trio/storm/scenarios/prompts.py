"""Prompts on the heels of prompts."""

from functools import partial

import trio

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import Call
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import GOOD, LONG, Stage
from jarvis_trio.storm.timeline import rows_of
from jarvis_trio.storm.trial import Trial


async def play_rapid(stage: Stage, trial: Trial) -> None:
    """Send prompts faster than they are answered; only the last may be answered."""
    session = stage.new_name("session") if stage.abilities.has_sessions else None
    markers = [stage.new_name("rapid") for _ in range(stage.options.prompts)]
    answers: dict[str, Answer] = {}
    calls: dict[str, Call] = {}
    last_call: Call | None = None

    async def ask(marker: str, behaviour: str, leave: trio.Event) -> None:
        nonlocal last_call
        async with stage.asking(behaviour, marker=marker, session=session) as call:
            last_call = calls[marker] = call
            if session is not None or marker == markers[-1]:
                await call.rest()
            else:
                async with trio.open_nursery() as reading:
                    reading.start_soon(call.rest)
                    await leave.wait()
                    reading.cancel_scope.cancel(reason="the next prompt is typed")
                call.leave()
            answers[marker] = read_answer(call)

    with trio.move_on_after(stage.options.patience_seconds + 1) as patience:
        async with trio.open_nursery() as nursery:
            leave = trio.Event()
            for marker in markers:
                leave.set()
                leave = trio.Event()
                behaviour = GOOD if marker == markers[-1] else LONG
                nursery.start_soon(partial(ask, marker, behaviour, leave))
                await trio.sleep(stage.options.gap_seconds)
    trial.expect("every prompt comes to an end", not patience.cancelled_caught)
    last = answers.get(markers[-1])
    trial.expect("the last prompt is answered in full", bool(last and last.is_complete), last or "")
    if session is None:
        trial.note("no sessions: each prompt's client left before the next prompt")
    else:
        endings = [answers[marker] for marker in markers[:-1] if marker in answers]
        dishonest = [str(answer) for answer in endings if not answer.is_honest]
        trial.expect("the others end with an error that says so", not dishonest, dishonest[:3])
        complete = sum(answer.is_complete for answer in endings)
        trial.expect("none of the others is answered in full", complete == 0, f"{complete} were")
    if last_call is not None and last_call.first_text_ns is not None:
        trial.measure(
            "last prompt to its first text", [last_call.first_text_ns - last_call.sent_ns]
        )
    if stage.has_witness:
        stats = await stage.witness.stats()
        at_once = "the model server never has two of the session at once"
        if session is not None:
            trial.expect(at_once, stats.max_open <= 1, f"at most {stats.max_open}")
        trial.expect("nothing stays open at the model server", await stage.is_all_closed())
    seen = await stage.witness.events() if stage.has_witness else []
    trial.timeline = rows_of(calls, answers, seen)


RAPID = Scenario(
    "rapid",
    "A new prompt ends the answer before it, honestly, and is answered itself; the model server "
    "never works for two prompts of one conversation at once.",
    play_rapid,
)
