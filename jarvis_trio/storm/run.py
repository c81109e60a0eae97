"""Plays scenarios against one server, one by one, and sees after each whether it still lives."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec
import trio
from msgspec import Struct

from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.answer import read_answer
from jarvis_trio.storm.call import CALL_ERRORS, Call, Request, calling, in_words
from jarvis_trio.storm.descriptors import allow_many_descriptors
from jarvis_trio.storm.lag import LoopLag
from jarvis_trio.storm.refusal import retry_after
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import BRIEF, Abilities, Stage, StormOptions
from jarvis_trio.storm.target import Target
from jarvis_trio.storm.trial import NotApplicableError, Trial
from jarvis_trio.storm.witness import Witness, WitnessError

PROBE_SECONDS = 30.0
"""A server that has answered nothing by then is not there, unless --patience is longer: a model may
have to be loaded."""

AFTERWARDS = "afterwards, the server answers a prompt"
SHORTEST_WAIT_SECONDS = 0.5
"""What a client that is refused waits before it asks again, whatever it is told."""


class Progress(Protocol):
    """Is told how the storm gets on. It must not wait."""

    def knows(self, abilities: Abilities) -> None:
        """Take note of what the server was found to know, before the first scenario."""
        ...

    def begins(self, scenario: Scenario) -> None:
        """Take note that a scenario begins."""
        ...

    def ends(self, trial: Trial) -> None:
        """Take note of what it found."""
        ...


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


async def run_storm(
    target: Target,
    sim: Target | None,
    options: StormOptions,
    scenarios: Iterable[Scenario],
    progress: Progress,
) -> list[Trial]:
    """Play each scenario and return what they found; those that end the server come last.

    Errors: ConfigError, in a sentence, when the server cannot be used at all, or the mock upstream
    not, or no longer.
    """
    allow_many_descriptors()
    lag = LoopLag()
    witness = None if sim is None else Witness(sim)
    abilities = await _find_out(target, witness, options)
    stage = Stage(target, witness, options, abilities, lag)
    await _try_one_prompt(stage)
    progress.knows(abilities)
    trials = []
    lost: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lag.run)
            for scenario in sorted(scenarios, key=lambda scenario: scenario.ends_server):
                progress.begins(scenario)
                trial = await _play(scenario, stage, witness)
                trials.append(trial)
                progress.ends(trial)
            nursery.cancel_scope.cancel(reason="the storm is over")
    except* WitnessError as group:
        lost = _first(group)
    if lost is not None:
        raise ConfigError(f"{lost}: what the server does is no longer seen") from lost
    return trials


async def _play(scenario: Scenario, stage: Stage, witness: Witness | None) -> Trial:
    """Play one scenario and judge the server by it. *Errors:* WitnessError."""
    trial = Trial(scenario.name, scenario.promise)
    began = trio.current_time()
    stage.lag.restart()
    try:
        if witness is not None:
            await witness.forget()
        await scenario.play(stage, trial)
        if not scenario.ends_server:
            await _see_that_it_lives(stage, trial)
    except* NotApplicableError as group:
        trial.missing = str(_first(group))
    except* CALL_ERRORS as group:
        trial.expect("the server can be reached", False, in_words(_first(group)))
    trial.seconds = round(trio.current_time() - began, 2)
    trial.judge_latencies(stage.lag.worst_ms)
    return trial


async def _see_that_it_lives(stage: Stage, trial: Trial) -> None:
    """Ask something simple, again if told to: a server that hangs after a scenario failed it."""
    seen = "nothing"
    with trio.move_on_after(stage.options.patience_seconds):
        while True:
            async with stage.asking(BRIEF) as call:
                await call.rest()
            answer = read_answer(call)
            seen = str(answer)
            if call.status not in (429, 503):
                break
            await trio.sleep(max(retry_after(call) or 0, SHORTEST_WAIT_SECONDS))
        trial.expect(AFTERWARDS, answer.is_complete, answer)
        return
    trial.expect(AFTERWARDS, False, f"{seen} for {stage.options.patience_seconds:g} s")


async def _find_out(target: Target, witness: Witness | None, options: StormOptions) -> Abilities:
    """Learn which models there are, and that the mock upstream is one."""
    url = f"{target.url}{target.path}/models"
    with _answering(target.url, PROBE_SECONDS):
        async with calling(target, Request("GET", f"{target.path}/models")) as call:
            await call.rest()
    if not call.status:
        raise ConfigError(f"{target.url} does not answer in HTTP; mend --url (https://?)")
    _need_entry(target, call)
    if witness is not None:
        with _answering(witness.target.url, PROBE_SECONDS):
            await witness.forget()
            await witness.stats()
    if options.model is not None:
        return Abilities([options.model])
    try:
        models = [model.id for model in msgspec.json.decode(call.body, type=_Models).data]
    except (msgspec.DecodeError, RecursionError):
        models = []
    if call.status != 200 or not models:
        raise ConfigError(
            f"{url} lists no models (HTTP {call.status}); name one with --model, or mend --url"
        )
    return Abilities(models)


async def _try_one_prompt(stage: Stage) -> None:
    """See that the server answers at all, and whether it knows sessions."""
    session = stage.new_name("first")
    with _answering(stage.target.url, max(PROBE_SECONDS, stage.options.patience_seconds)):
        async with stage.asking(session=session) as call:
            await call.rest()
    _need_entry(stage.target, call)
    answer = read_answer(call)
    if not answer.is_complete:
        said = f": {bytes(call.body[:200]).decode('utf-8', 'replace')}" if answer.error else ""
        raise ConfigError(f"{stage.target.url} does not answer a simple prompt ({answer}){said}")
    if stage.has_witness and not (await stage.witness.stats()).requests:
        raise ConfigError(
            f"{stage.target.url} answers, but not from --sim: make that its model server"
        )
    stage.abilities.has_sessions = call.headers.get("x-session-id") == session


def _need_entry(target: Target, call: Call) -> None:
    """Go on only if the key opens the server; many list their models for everybody."""
    if call.status in (401, 403):
        raise ConfigError(f"{target.url} refuses the key (HTTP {call.status}); give one with --key")


@contextmanager
def _answering(url: str, seconds: float) -> Iterator[None]:
    """Bound the block in time, and say in a sentence what keeps it from being done."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise ConfigError(f"{url} does not answer within {seconds:g} s") from None
    except WitnessError as error:
        raise ConfigError(f"{error}; start one with: jarvis-trio sim") from error
    except CALL_ERRORS as error:
        raise ConfigError(f"{url} cannot be reached: {in_words(error)}") from error


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
