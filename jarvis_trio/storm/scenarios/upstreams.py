"""Model servers that die, hang, fail and refuse."""

from collections import Counter
from collections.abc import Iterable, Sequence

import trio
from msgspec import Struct

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import Stage
from jarvis_trio.storm.trial import Trial

DEATHS = (0, 1, 17, 100, 300, 501, 1000, 1700, 2500, 3300, 4000)
"""Bytes of a streamed answer of 40 tokens: before its finish reason, in OpenAI's format and in
Ollama's."""

EARLY_DEATHS = (0, 1, 100)
"""Bytes of the same answer, also where the model server is asked for it in one piece."""

BEHIND_THE_END = 1_000_000

REFUSALS = (400, 401, 404, 429, 500, 503)


class Case(Struct, frozen=True):
    """One way to go wrong: ``what`` it is, in words, and the mock upstream's name for it."""

    what: str
    behaviour: str
    stream: bool = True

    def __str__(self) -> str:
        return self.what if self.stream else f"{self.what}, not streamed"


class Outcome(Struct, frozen=True):
    """What a client was told; ``answer`` is None where it was told no end in time.

    Where its prompt has not arrived at the model server, the server has said it of itself.
    """

    case: Case
    answer: Answer | None
    has_arrived: bool = True

    def __str__(self) -> str:
        return f"{self.case}: {self.answer or 'no end'}"


async def play_upstream_dies(stage: Stage, trial: Trial) -> None:
    """Have the model server's connection die at a spread of bytes, or end without its end."""
    stage.need_witness()
    how = "tps=400&tokens=40"
    cases = [Case(f"dies at byte {k}", f"sim-die?at={k}&{how}") for k in DEATHS]
    cases += [
        Case(f"dies at byte {k}", f"sim-die?at={k}&{how}", stream=False) for k in EARLY_DEATHS
    ]
    for at in (0, 20):
        for stream in (True, False):
            cases += [
                Case(f"ends after {at} words", f"sim-eof?at={at}&{how}", stream),
                Case(f"is torn after {at} words", f"sim-truncate?at={at}&{how}", stream),
            ]
    behind = Case("dies behind its end marker", f"sim-die?at={BEHIND_THE_END}&{how}")
    *outcomes, last = await _ask_all(stage, [*cases, behind])
    _expect_errors(stage, trial, outcomes)
    trial.expect(
        "an answer whose model server dies behind its end is whole, or fails with an error",
        last.answer is not None and (last.answer.is_honest or _reached_its_end(last.answer)),
        last,
    )
    trial.expect("nothing stays open at the model server", await stage.is_all_closed())


async def play_upstream_error(stage: Stage, trial: Trial) -> None:
    """Have the model server fail in mid-answer, refuse, and talk nonsense."""
    stage.need_witness()
    refusals = [
        Case(f"refuses with {status}", f"sim-refuse?status={status}", stream)
        for status in REFUSALS
        for stream in (True, False)
    ]
    others = [
        Case("fails in mid-answer", "sim-error?at=5&tps=200"),
        Case("fails in mid-answer", "sim-error?at=5&tps=200", stream=False),
        Case("talks nonsense", "sim-garbage?at=0"),
        Case("talks nonsense after 5 words", "sim-garbage?at=5&tps=200"),
        Case("talks nonsense", "sim-garbage?at=0", stream=False),
    ]
    outcomes = await _ask_all(stage, [*refusals, *others])
    _expect_errors(stage, trial, outcomes)
    for status in (429, 503):
        told = [each for each in outcomes if each.case.what == f"refuses with {status}"]
        wrong = [each for each in told if each.answer and not _means_later(each.answer)]
        sentence = f"a refusal with {status} keeps its meaning (429 or 5xx: come again later)"
        trial.expect(sentence, not wrong, _tally(told))
    late = [each for each in outcomes if each.answer and each.answer.status == 200]
    late = [each for each in late if each.case in refusals]
    if late:
        trial.note(f"told inside a stream, where no status says it: {_first_of(late)}")
    shapeless = [each for each in outcomes if each.answer and each.answer.message is None]
    trial.expect("every error is in OpenAI's shape", not shapeless, _first_of(shapeless))
    trial.expect("nothing stays open at the model server", await stage.is_all_closed())


def _reached_its_end(answer: Answer) -> bool:
    """Say whether a client had all of it, whatever became of the connection behind that."""
    return answer.finish_reason is not None and answer.is_done and answer.error is None


def _means_later(answer: Answer) -> bool:
    """Say so also of an error frame: the status was given before the refusal came."""
    return answer.status in (200, 429) or answer.status >= 500


async def _ask_all(stage: Stage, cases: Sequence[Case]) -> list[Outcome]:
    """Ask all at once, each in a session of its own; patience begins when its prompt is sent."""
    answers: dict[Case, Answer] = {}
    markers = {case: stage.new_name("failing") for case in cases}

    async def ask(case: Case) -> None:
        with trio.move_on_after(stage.options.patience_seconds):
            answers[case] = await stage.ask(
                case.behaviour,
                marker=markers[case],
                session=stage.new_session(),
                stream=case.stream,
            )

    async with trio.open_nursery() as nursery:
        for case in cases:
            nursery.start_soon(ask, case)
    stats = await stage.witness.stats()
    return [Outcome(case, answers.get(case), bool(stats.of(markers[case]))) for case in cases]


def _expect_errors(stage: Stage, trial: Trial, outcomes: Sequence[Outcome]) -> None:
    refused = [each for each in outcomes if not each.has_arrived]
    trial.expect("prompts reach the model server", len(refused) < len(outcomes), _tally(refused))
    if refused:
        trial.note(
            f"{len(refused)} of {len(outcomes)} prompts never reached the model server: "
            f"how it fails was not tried there ({_tally(refused)})"
        )
    endless = [each for each in outcomes if each.answer is None]
    in_time = f"every prompt comes to its end within {stage.options.patience_seconds:g} s"
    trial.expect(in_time, not endless, _first_of(endless) or f"{len(outcomes)} prompts")
    lies = [each for each in outcomes if each.answer and each.answer.looks_whole]
    trial.expect("no failed answer looks like a whole one", not lies, _first_of(lies))
    vague = [each for each in outcomes if each.answer and not _is_honest_failure(each.answer)]
    trial.expect(
        "each says that it failed: an error status, or an error frame",
        not vague,
        _first_of(vague) or _tally(outcomes),
    )


def _is_honest_failure(answer: Answer) -> bool:
    return answer.is_honest and not answer.is_complete


def _first_of(outcomes: Sequence[Outcome], most: int = 3) -> str:
    """Name a few, and how many there are."""
    if not outcomes:
        return ""
    named = "; ".join(str(each) for each in outcomes[:most])
    return named if len(outcomes) <= most else f"{len(outcomes)} of them, such as {named}"


def _tally(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(str(each.answer or "no end") for each in outcomes)
    return "; ".join(f"{count} x {what}" for what, count in counts.most_common(5))


HANGS = (
    Case("takes a prompt and says nothing", "sim-hang"),
    Case("takes a prompt and says nothing", "sim-hang", stream=False),
    Case("sends headers and then nothing", "sim-silent"),
    Case("stops after 3 words", "sim-stall?at=3&tps=50"),
)


class _Departure(Struct):
    """What became of a hanging prompt when its client left, and of the next; None: not in time."""

    case: Case
    has_arrived: bool = False
    closed_after_ns: int | None = None
    next_answer: Answer | None = None

    def __str__(self) -> str:
        return str(self.case)


async def play_upstream_hangs(stage: Stage, trial: Trial) -> None:
    """Have the model server hang; some clients leave and ask again, others stay."""
    witness = stage.witness
    patience = stage.options.patience_seconds
    departures: list[_Departure] = []
    stays: list[Outcome] = []

    async def leave(case: Case) -> None:
        departures.append(departure := _Departure(case))
        marker, session = stage.new_name("hanging"), stage.new_session()
        async with stage.asking(
            case.behaviour, marker=marker, session=session, stream=case.stream
        ) as call:
            with trio.move_on_after(patience):
                await witness.wait_for(marker, "arrival")
                departure.has_arrived = True
            with trio.move_on_after(patience / 10):
                await call.text()
            call.leave()
        with trio.move_on_after(patience):
            seen = await witness.wait_for(marker, "closed")
            departure.closed_after_ns = max(0, seen.t_ns - (call.left_ns or 0))
        with trio.move_on_after(patience):
            departure.next_answer = await stage.ask(session=session)

    async def stay(case: Case) -> None:
        async with stage.asking(
            case.behaviour, session=stage.new_session(), stream=case.stream
        ) as call:
            with trio.move_on_after(patience):
                await call.rest()
        stays.append(Outcome(case, None if call.ended_ns is None else read_answer(call)))

    async with trio.open_nursery() as nursery:
        for case in HANGS:
            nursery.start_soon(leave, case)
            nursery.start_soon(stay, case)
    _judge_departures(stage, trial, departures)
    _judge_stays(stage, trial, stays)
    trial.expect("nothing stays open at the model server", await stage.is_all_closed())


def _judge_departures(stage: Stage, trial: Trial, departures: Sequence[_Departure]) -> None:
    lost = [str(each) for each in departures if not each.has_arrived]
    trial.expect("every prompt reaches the model server", not lost, "; ".join(lost))
    kept = [str(each) for each in departures if each.has_arrived and each.closed_after_ns is None]
    trial.expect(
        "when its client leaves, the connection to the hanging model server is closed",
        not kept,
        f"open after {stage.options.patience_seconds:g} s where it {'; '.join(kept)}"
        if kept
        else f"{len(departures)} clients left",
    )
    trial.measure(
        "client leaves to upstream closed",
        [each.closed_after_ns for each in departures if each.closed_after_ns is not None],
    )
    whose = "the same conversation" if stage.abilities.has_sessions else "anybody"
    stuck = [
        f"after it {each}: {each.next_answer or 'no end'}"
        for each in departures
        if each.next_answer is None or not each.next_answer.is_complete
    ]
    trial.expect(f"the next prompt of {whose} is answered", not stuck, "; ".join(stuck))


def _judge_stays(stage: Stage, trial: Trial, stays: Sequence[Outcome]) -> None:
    ended = [each for each in stays if each.answer is not None]
    if ended:
        vague = [each for each in ended if each.answer and not _is_honest_failure(each.answer)]
        trial.expect(
            "a wait that the server ends itself ends with an error that says so",
            not vague,
            _first_of(vague) or _tally(ended),
        )
    waiting = [str(each.case) for each in stays if each.answer is None]
    if waiting:
        trial.note(
            f"the server was still waiting after {stage.options.patience_seconds:g} s where the "
            f"model server {'; '.join(waiting)} (how long it waits is its setting)"
        )


UPSTREAM_DIES = Scenario(
    "upstream-dies",
    "An answer whose model server dies, at whatever byte, or ends without its end marker, ends "
    "with an error, and never looks whole.",
    play_upstream_dies,
)

UPSTREAM_HANGS = Scenario(
    "upstream-hangs",
    "While the model server hangs, a client can leave, which closes the connection to it, and the "
    "next prompt is answered.",
    play_upstream_hangs,
)

UPSTREAM_ERROR = Scenario(
    "upstream-error",
    "What goes wrong at the model server reaches the client as an error in OpenAI's shape, with "
    "its meaning; never as a good answer.",
    play_upstream_error,
)
