"""The Stop button: ends the answer, and not only what the page shows of it."""

import trio

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import Call, Request, calling
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import LOADING, LONG, Stage
from jarvis_trio.storm.trial import NotApplicableError, Trial

NO_ROUTE = (404, 405, 501)


async def play_stop(stage: Stage, trial: Trial) -> None:
    """Stop an answer that is coming, one that has not begun, and nothing at all."""
    stage.need_sessions()
    session = stage.new_name("session")
    await _stop_answer(stage, trial, session, LONG, "an answer in the middle")
    if stage.has_witness:
        await _stop_answer(stage, trial, session, LOADING, "an answer before its first text")
    idle = None
    with trio.move_on_after(stage.options.patience_seconds):
        idle = await _stop(stage, session)
    said = "nothing" if idle is None else f"HTTP {idle.status}"
    told = idle is not None and idle.is_whole and idle.status < 500
    trial.expect("a stop when nothing is left to stop is answered", told, said)
    answer = Answer(0)
    with trio.move_on_after(stage.options.patience_seconds):
        answer = await stage.ask(session=session)
    trial.expect("the session answers its next prompt", answer.is_complete, answer)


async def _stop_answer(stage: Stage, trial: Trial, session: str, behaviour: str, what: str) -> None:
    marker = stage.new_name("stopped")
    stop: Call | None = None
    with trio.move_on_after(stage.options.patience_seconds * 2) as patience:
        async with (
            stage.asking(behaviour, marker=marker, session=session) as call,
            trio.open_nursery() as nursery,
        ):
            if stage.has_witness:
                await stage.witness.wait_for(marker, "arrival")
            else:
                await call.text()
            nursery.start_soon(call.rest)
            stop = await _stop(stage, session)
            await _judge_stop(stage, trial, stop, marker, what)
            patience.deadline = trio.current_time() + stage.options.patience_seconds
    if stop is None:
        trial.expect(f"a stop of {what} is answered", False, "nothing came")
        return
    answer = read_answer(call)
    seen = answer if call.ended_ns is not None else f"{answer}, and it goes on"
    trial.expect(f"{what} ends with a word when it is stopped", answer.is_honest, seen)
    if call.ended_ns is not None:
        trial.measure(f"stop of {what} to its end", [call.ended_ns - stop.sent_ns])


async def _stop(stage: Stage, session: str) -> Call:
    """Ask for a stop, and wait for its answer."""
    path = f"{stage.target.path}/sessions/{session}/cancel"
    async with calling(stage.target, Request("POST", path)) as call:
        await call.rest()
    return call


async def _judge_stop(stage: Stage, trial: Trial, stop: Call, marker: str, what: str) -> None:
    """See what is so at the moment of the answer. *Errors:* NotApplicableError."""
    if stop.status in NO_ROUTE:
        raise NotApplicableError(f"no stop route (HTTP {stop.status} at POST /sessions/…/cancel)")
    done = stop.is_whole and 200 <= stop.status < 300
    trial.expect(f"a stop of {what} is answered", done, f"HTTP {stop.status}")
    if stop.ended_ns is not None:
        trial.measure(f"stop of {what} to its answer", [stop.ended_ns - stop.sent_ns])
    if stage.has_witness:
        # Asked now, the witness knows of every close that came before.
        exchanges = (await stage.witness.stats()).by_marker.get(marker, [])
        still = sum(exchange.is_open for exchange in exchanges)
        sentence = f"the model server is free of {what} when its stop is answered"
        trial.expect(sentence, not still, f"{still} of {len(exchanges)} still open")


STOP = Scenario(
    "stop",
    "A stop ends the answer with a word and frees the model server, by the time it is answered.",
    play_stop,
)
