"""Connections that live long, and a server that is told to go."""

import os
import re
import signal
from pathlib import Path
from time import monotonic_ns
from typing import Final

import trio
from msgspec import Struct, field
from msgspec.structs import replace

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import CALL_ERRORS, calling
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import BRIEF, LONG, Stage
from jarvis_trio.storm.trial import NotApplicableError, Trial

COMMENT: Final = re.compile(rb"(?m)^:")

SHORT: Final = "sim?tps=50&tokens=50"
"""One that ends by itself within a second."""

FLOOD: Final = "sim?tps=0&tokens=1000000"
"""More than all the buffers between a model server and a client that does not read."""

SMALL_BUFFER: Final = 4096
LOOK_SECONDS: Final = 0.02


class Silence(Struct, frozen=True):
    """A model that is silent for long, but well: ``tokens`` is what it says in all."""

    where: str
    behaviour: str
    tokens: int
    stream: bool = True


async def play_idle(stage: Stage, trial: Trial) -> None:
    """Have patient clients wait for a silent model, and ask again on a connection that is kept."""
    seconds = stage.options.patience_seconds / 2
    ms = round(seconds * 1000)
    silences = [
        Silence("before its headers", f"sim?headers_ms={ms}&tps=200&tokens=20", 20),
        Silence("before its first word", f"sim?first_ms={ms}&tps=200&tokens=20", 20),
        Silence("between two words", f"sim?tps={1 / seconds}&tokens=2", 2),
        Silence("before a whole answer", f"sim?first_ms={ms}&tps=0&tokens=20", 20, stream=False),
    ]
    if not stage.has_witness:
        trial.note("without --sim no model can be made silent: only a kept connection was tried")
        silences.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_a_connection, stage, trial)
        for silence in silences:
            nursery.start_soon(_sit_out, stage, trial, silence, seconds)


async def _sit_out(stage: Stage, trial: Trial, silence: Silence, seconds: float) -> None:
    async with stage.asking(
        silence.behaviour, session=stage.new_session(), stream=silence.stream
    ) as call:
        with trio.move_on_after(seconds + stage.options.patience_seconds) as patience:
            await call.rest()
    answer = read_answer(call)
    is_all_there = answer.is_complete and len(answer.text.split()) == silence.tokens
    trial.expect(
        f"a model that is silent for {seconds:g} s {silence.where} is waited for",
        is_all_there,
        "no end" if patience.cancelled_caught else answer,
    )
    if silence.stream:
        pings = len(COMMENT.findall(call.body))
        trial.note(f"{pings} comments (pings) came while it was silent {silence.where}")


async def _keep_a_connection(stage: Stage, trial: Trial) -> None:
    """Ask, pause, and ask again on the same connection, unless the server closes it."""
    patience = stage.options.patience_seconds
    fate = f"no end within {patience:g} s"
    is_well = False
    requests = [await stage.prepare(BRIEF) for _ in range(2)]
    first, second = (
        replace(each, headers={**each.headers, "Connection": "keep-alive"}) for each in requests
    )
    async with calling(stage.target, first) as call:
        with trio.move_on_after(patience):
            await call.rest()
        is_closed = False
        with trio.move_on_after(patience / 10 if call.is_kept else patience):
            is_closed = await call.is_closed()
        if is_closed:
            answer = read_answer(call)
            is_well, fate = answer.is_complete, f"it was closed behind: {answer}"
        elif call.is_kept:
            with trio.move_on_after(patience):
                next_call = await call.again(stage.target, second)
                await next_call.rest()
                answer = read_answer(next_call)
                is_well, fate = answer.is_complete, f"used again: {answer}"
        elif call.is_whole:
            fate = f"the answer said that it is not kept, but after {patience:g} s it was open"
    trial.expect("a connection that is kept is good for the next prompt, or closed", is_well, fate)


STREAMS: Final = (LONG, LONG, LONG, SHORT, SHORT)


class _Reading(Struct):
    """One answer that is being read when the signal comes."""

    behaviour: str
    has_text: bool = False
    answer: Answer | None = None
    ended_ns: int | None = None
    begun: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)


class _Going(Struct):
    """How a server went; times in ns, None for what has not happened.

    ``late`` are the answers to prompts that were still taken after the signal.
    """

    readings: list[_Reading]
    told_ns: int = 0
    gone_ns: int | None = None
    refused_ns: int | None = None
    refused: trio.Event = field(default_factory=trio.Event)
    late: list[Answer] = field(default_factory=list)


async def play_shutdown(stage: Stage, trial: Trial) -> None:
    """Tell the server to go in the middle of endless answers, short ones, and a stalled reader."""
    pid, witness = _process(stage), stage.witness
    options = stage.options
    limit = options.grace_seconds + options.patience_seconds
    going = _Going([_Reading(behaviour) for behaviour in STREAMS])
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(options.patience_seconds):
            marker = stage.new_name("stalled")
            nursery.start_soon(_stall, stage, marker)
            await witness.wait_for(marker, "first_byte")
            for reading in going.readings:
                nursery.start_soon(_read, stage, reading)
            for reading in going.readings:
                await reading.begun.wait()
        has_begun = all(reading.has_text for reading in going.readings)
        if trial.expect("answers begin before the signal", has_begun):
            going.told_ns = monotonic_ns()
            os.kill(pid, signal.SIGTERM)
            nursery.start_soon(_knock, stage, going)
            with trio.move_on_after(limit):
                await _wait_until_gone(pid)
                going.gone_ns = monotonic_ns()
                await going.refused.wait()
                for reading in going.readings:
                    await reading.ended.wait()
        nursery.cancel_scope.cancel(reason="the server has gone, or does not")
    if going.told_ns:
        _judge_going(stage, trial, going, limit)
        trial.expect("nothing stays open at the model server", await stage.is_all_closed())


def _process(stage: Stage) -> int:
    pid = stage.options.pid
    if pid is None:
        raise NotApplicableError("needs --pid: the server's process has to be told to go")
    try:
        os.kill(pid, 0)
    except OSError as error:
        raise NotApplicableError(f"process {pid} cannot be told to go: {error.strerror}") from None
    return pid


async def _stall(stage: Stage, marker: str) -> None:
    """Ask for much and take nothing of it."""
    async with stage.asking(FLOOD, marker=marker, receive_buffer=SMALL_BUFFER):
        await trio.sleep_forever()


async def _read(stage: Stage, reading: _Reading) -> None:
    """Read one answer to its end."""
    async with stage.asking(reading.behaviour) as call:
        reading.has_text = await call.text()
        reading.begun.set()
        await call.rest()
    reading.answer, reading.ended_ns = read_answer(call), call.ended_ns
    reading.ended.set()


async def _knock(stage: Stage, going: _Going) -> None:
    """Ask briefly, again and again, until the server takes no prompts any more."""
    while True:
        try:
            answer = await stage.ask(BRIEF)
        except CALL_ERRORS:
            break
        if answer.status in (0, 503):
            break
        going.late.append(answer)
        await trio.sleep(LOOK_SECONDS)
    going.refused_ns = monotonic_ns()
    going.refused.set()


async def _wait_until_gone(pid: int) -> None:
    while not _is_gone(pid):  # noqa: ASYNC110 - nobody tells of another's process
        await trio.sleep(LOOK_SECONDS)


def _is_gone(pid: int) -> bool:
    """Say so also of one that has exited and that its parent has not asked about yet."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except ProcessLookupError:
        return True
    except OSError:
        return False  # a system without /proc, or one that has gone meanwhile: look again
    return stat.rpartition(b")")[2].split()[:1] == [b"Z"]


def _judge_going(stage: Stage, trial: Trial, going: _Going, limit: float) -> None:
    answers = [*(reading.answer for reading in going.readings), *going.late]
    cut = [str(each or "no end") for each in answers if not (each and each.is_honest)]
    trial.expect(
        "no answer is cut: each comes to its end, or to an error frame",
        not cut,
        "; ".join(cut or map(str, answers)),
    )
    trial.expect(
        f"the process goes within {limit:g} s, whoever does not read",
        going.gone_ns is not None,
        _when(going, going.gone_ns),
    )
    patience = stage.options.patience_seconds
    refused = going.refused_ns
    trial.expect(
        f"new prompts come to be refused, or told 503, within {patience:g} s",
        refused is not None and refused - going.told_ns <= patience * 1e9,
        f"{_when(going, refused)}; {len(going.late)} were still taken",
    )
    ends_ns = [each.ended_ns - going.told_ns for each in going.readings if each.ended_ns]
    trial.measure("signal to an answer's end", ends_ns)
    if going.gone_ns is not None:
        trial.measure("signal to the process's end", [going.gone_ns - going.told_ns])


def _when(going: _Going, then_ns: int | None) -> str:
    return "never" if then_ns is None else f"after {(then_ns - going.told_ns) / 1e9:.2f} s"


IDLE = Scenario(
    "idle",
    "A client that waits for a silent model gets its whole answer, and a connection that is kept "
    "is good for another prompt.",
    play_idle,
)

SHUTDOWN = Scenario(
    "shutdown",
    "Told to go, the server takes no new prompts, ends every answer with its end or an error, and "
    "is gone in bounded time, whoever does not read.",
    play_shutdown,
    ends_server=True,
)
