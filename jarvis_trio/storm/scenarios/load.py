"""Many sessions at once."""

import time
from collections import Counter
from itertools import pairwise
from time import monotonic_ns
from typing import Final

import trio
from msgspec import Struct

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import CALL_ERRORS, Call, in_words
from jarvis_trio.storm.crowd import Crowd
from jarvis_trio.storm.descriptors import allow_many_descriptors, read_holdings
from jarvis_trio.storm.lag import no_collections
from jarvis_trio.storm.numbered_text import what_is_wrong
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import Stage
from jarvis_trio.storm.trial import NotApplicableError, Trial

TOKENS_PER_SECOND: Final = 20
START_SECONDS: Final = 1.0
"""Over which the sessions begin."""

SPARE_DESCRIPTORS: Final = 100
LONGEST_IN_PATIENCE: Final = 10
"""A server may be slow under load, as long as something comes; not for ever."""


class _Session(Struct):
    """One prompt on its way; ``trouble`` is why there is no connection, if there is none."""

    marker: str
    begun_ns: int = 0
    call: Call | None = None
    trouble: str | None = None

    def read(self) -> Answer:
        return read_answer(self.call) if self.call is not None else Answer(0)

    def told(self, answer: Answer) -> str:
        """Say how it ended."""
        if self.call is None:
            return f"no connection ({self.trouble})" if self.trouble else "no connection in time"
        return f"{answer} (not ended)" if self.call.ended_ns is None else str(answer)


async def play_many_sessions(stage: Stage, trial: Trial) -> None:
    """Have many sessions answered at once, and see that each gets its own text, whole."""
    need_descriptors(stage.options.sessions)
    sessions = [_Session(stage.new_name("many")) for _ in range(stage.options.sessions)]
    if stage.has_witness:
        named = f"tps={TOKENS_PER_SECOND}&tokens={_tokens(stage)}&named=1"
        await stage.witness.script(f"sim?{named}")
    pid = stage.options.pid
    server_before = None if pid is None else read_holdings(pid)
    with no_collections():
        stage.lag.restart()
        cpu, began = time.process_time(), time.monotonic()
        await _ask_all(stage, sessions)
        cpu, seconds = time.process_time() - cpu, time.monotonic() - began
        stage.lag.hold()
    trial.note(
        f"the harness used {cpu / seconds:.2f} of a core and was at most "
        f"{stage.lag.worst_ms:.1f} ms late"
    )
    if pid is not None and server_before and (after := read_holdings(pid)):
        used = (after.cpu_seconds - server_before.cpu_seconds) / seconds
        trial.note(f"the server used {used:.2f} cores")
    await _judge(stage, trial, sessions)
    _measure(stage, trial, [session for session in sessions if session.call is not None])


def need_descriptors(connections: int) -> None:
    """Go on only if so many can be open at once. *Errors:* NotApplicableError."""
    most = allow_many_descriptors()
    if most < (needed := connections + SPARE_DESCRIPTORS):
        raise NotApplicableError(f"needs {needed} descriptors: the limit (ulimit -Hn) is {most}")


def _tokens(stage: Stage) -> int:
    """How many tokens each answer has."""
    return max(1, round(stage.options.answer_seconds * TOKENS_PER_SECOND))


async def _ask_all(stage: Stage, sessions: list[_Session]) -> None:
    """Begin one after the other; give up when nothing more comes to anybody."""
    patience_seconds = stage.options.patience_seconds
    with Crowd() as crowd, trio.move_on_after(LONGEST_IN_PATIENCE * patience_seconds):
        async with trio.open_nursery() as reading:
            reading.start_soon(crowd.run)
            reading.start_soon(_give_up_in_silence, crowd, patience_seconds, reading.cancel_scope)
            async with trio.open_nursery() as asking:
                began = trio.current_time()
                for number, session in enumerate(sessions):
                    await trio.sleep_until(began + START_SECONDS * number / len(sessions))
                    asking.start_soon(_ask, stage, crowd, session)
            reading.cancel_scope.cancel(reason="all have ended")


async def _ask(stage: Stage, crowd: Crowd, session: _Session) -> None:
    name = session.marker if stage.abilities.has_sessions else None
    session.begun_ns = monotonic_ns()
    try:
        async with stage.asking(
            None, marker=session.marker, session=name, most_tokens=_tokens(stage)
        ) as call:
            session.call = call
            await crowd.rest(call)
    except CALL_ERRORS as error:
        session.trouble = in_words(error)


async def _give_up_in_silence(crowd: Crowd, seconds: float, scope: trio.CancelScope) -> None:
    while (silent := (monotonic_ns() - crowd.last_ns) / 1e9) < seconds:  # noqa: ASYNC110 - time it is
        await trio.sleep(seconds - silent)
    scope.cancel(reason="nothing came to anybody for too long")


async def _judge(stage: Stage, trial: Trial, sessions: list[_Session]) -> None:
    tokens = _tokens(stage)
    others: Counter[str] = Counter()
    wrong: list[str] = []
    words = 0
    for session in sessions:
        await trio.lowlevel.checkpoint()
        answer = session.read()
        words += len(answer.text.split())
        if not answer.is_complete:
            others[session.told(answer)] += 1
        elif stage.has_witness and (what := what_is_wrong(answer.text, session.marker, tokens)):
            wrong.append(f"{session.marker}: {what}")
    count = len(sessions)
    seen = f"{count - others.total()} of {count}"
    told = [f"{how}: {number}" for how, number in others.most_common(3)]
    trial.expect("every session is answered in full", not others, "; ".join([seen, *told]))
    if stage.has_witness:
        seen = f"{len(wrong)} wrong; {'; '.join(wrong[:3])}" if wrong else ""
        trial.expect("every text is right: nothing lost, doubled or crossed", not wrong, seen)
        at_once = (await stage.witness.counts()).max_open
        trial.expect("nothing stays open at the model server", await stage.is_all_closed())
        trial.note(f"the model server answered at most {at_once} at once")
    else:
        trial.note("without --sim nobody knows the right text: it is not judged")
    trial.note(_throughput(sessions, words))


def _throughput(sessions: list[_Session], words: int) -> str:
    calls = [session.call for session in sessions if session.call is not None]
    first = min((call.first_text_ns for call in calls if call.first_text_ns), default=0)
    last = max((call.pieces[-1][0] for call in calls if call.pieces), default=0)
    seconds = max(last - first, 1) / 1e9
    return f"{words} words came in {seconds:.2f} s: {words / seconds:.0f} a second"


def _measure(stage: Stage, trial: Trial, sessions: list[_Session]) -> None:
    firsts: list[int] = []
    gaps: list[int] = []
    for session in sessions:
        call = session.call
        if call is not None and call.first_text_ns is not None:
            firsts.append(call.first_text_ns - session.begun_ns)
            times = [at_ns for at_ns, _ in call.pieces if at_ns >= call.first_text_ns]
            gaps += [later - earlier for earlier, later in pairwise(times)]
    # A model server of its own makes prompts wait for as long as it needs.
    limit = stage.options.patience_seconds if stage.has_witness else None
    trial.measure("prompt to first text", firsts, limit)
    trial.measure("gap between two pieces", gaps)


MANY_SESSIONS = Scenario(
    "many-sessions",
    "Sessions that are answered at the same time each get their own answer, whole and right, and "
    "none of them is left waiting.",
    play_many_sessions,
)
