"""docs/peers.md, made from the storm's reports: nothing in it that a run has not measured."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from tests.benchmarks.markdown import escaped, row, table
from tests.benchmarks.peer import OURS

MARKS = {"pass": "pass", "fail": "**fail**", "not applicable": "n/a"}


class Run(Struct, frozen=True):
    """What all of it ran on, and what repeats it."""

    cores: int
    system: str


class _Finding(Struct):
    sentence: str
    holds: bool
    seen: str


class _Latency(Struct):
    name: str
    count: int
    p50_ms: float
    p99_ms: float


class _Trial(Struct):
    scenario: str
    promise: str
    verdict: str
    missing: str | None
    findings: list[_Finding]
    latencies: list[_Latency]


class Played(Struct):
    """A report of the storm, of which one scenario was played."""

    seconds: float
    sim: str | None
    trials: list[_Trial]


class Measured(Struct):
    """What became of one peer: the storm's reports, or why there are none."""

    name: str
    what: str
    measured_at: datetime
    versions: str = ""
    command: str = ""
    storm: str = ""
    played: list[Played] = []
    missing: str | None = None

    @property
    def trials(self) -> list[_Trial]:
        """What was found, in the order of playing."""
        return [trial for played in self.played for trial in played.trials]

    @property
    def is_behind_sim(self) -> bool:
        """Say whether the mock model server was behind it."""
        return any(played.sim is not None for played in self.played)

    def trial(self, scenario: str) -> _Trial | None:
        """Return the one of that name."""
        return next((trial for trial in self.trials if trial.scenario == scenario), None)


INTRODUCTION = """\
# Ours and others in the storm

`make peers` installs each server below in an environment of its own, runs it over the mock model
server `jarvis-trio sim`, plays `jarvis-trio storm` against it, and writes this page from the
reports. Every scenario has a freshly started process of the server, so that none pays for what
another left behind. Nothing here was written by hand, and nothing is told that was not measured.

The storm looks at what happens when users supersede, leave, stop, read slowly, or when the model
server fails; it does not look at what else these servers can do, which is much. A server without
sessions is judged by disconnects only. A verdict is of that version, with that configuration.
"""


def write_page(run: Run, found: list[Measured]) -> str:
    """Return the page, with a line for each scenario and a column for each peer."""
    played = [each for each in found if each.missing is None]
    dates = sorted({f"{each.measured_at:%Y-%m-%d}" for each in found})
    parts = [
        INTRODUCTION,
        f"Measured: {', '.join(dates)}; {run.system}, {run.cores} cores, all on one machine.\n",
        *_servers(found),
        *_verdicts(played),
        *_failures(played),
        *_not_applicable(played),
        *_latencies(played),
        *_better(played),
        *_repeating(found),
    ]
    return "\n".join(parts)


def _servers(found: list[Measured]) -> Iterator[str]:
    yield "## The servers\n"
    yield from table(["server", "what it is", "versions"])
    for each in found:
        versions = "**not measured**" if each.missing else each.versions
        yield row([each.name, each.what, versions])
    yield ""
    for each in found:
        if each.missing:
            yield f"{each.name} was not measured here: {escaped(each.missing)}\n"


def _verdicts(played: list[Measured]) -> Iterator[str]:
    yield "## The verdicts\n"
    yield from table(["scenario", *(each.name for each in played)])
    for scenario in _scenarios(played):
        trials = [each.trial(scenario) for each in played]
        yield row([f"`{scenario}`", *(MARKS[trial.verdict] if trial else "" for trial in trials)])
    counts = [[trial.verdict for trial in each.trials] for each in played]
    told = [f"{verdicts.count('pass')} pass, {verdicts.count('fail')} fail" for verdicts in counts]
    yield row(["", *told])
    took = [sum(played.seconds for played in each.played) for each in played]
    yield row(["the storm took", *(f"{seconds:.0f} s" for seconds in took)])
    yield ""


def _failures(played: list[Measured]) -> Iterator[str]:
    yield "## What failed\n"
    yield "Each with what a correct server does, and in brackets what was seen instead.\n"
    for each in played:
        failed = [trial for trial in each.trials if trial.verdict == "fail"]
        yield f"### {each.name}\n"
        for trial in failed:
            broken = [finding for finding in trial.findings if not finding.holds]
            more = f" And {len(broken) - 1} more{_aftermath(broken)}." if len(broken) > 1 else ""
            seen = f" ({escaped(broken[0].seen)})" if broken[0].seen else ""
            yield f"- `{trial.scenario}`: not so: {escaped(broken[0].sentence)}{seen}.{more}"
        yield "" if failed else "Nothing.\n"


def _aftermath(broken: list[_Finding]) -> str:
    """Say so when the server was still out of order behind a scenario."""
    wedged = any(finding.sentence.startswith("afterwards,") for finding in broken[1:])
    return "; afterwards, the server did not answer a prompt" if wedged else ""


def _not_applicable(played: list[Measured]) -> Iterator[str]:
    yield "## What could not be played\n"
    for each in played:
        for trial in each.trials:
            if trial.verdict == "not applicable":
                missing = escaped(trial.missing or "no finding")
                yield f"- {each.name}, `{trial.scenario}`: {missing}."
    yield ""


def _latencies(played: list[Measured]) -> Iterator[str]:
    yield "## How long it took\n"
    yield "p50 / p99 in milliseconds, of this run only; the storm judges nobody by them.\n"
    yield from table(["scenario", "what", *(each.name for each in played)])
    for scenario, name in _measurements(played):
        found = [_latency(each, scenario, name) for each in played]
        told = [f"{each.p50_ms:.1f} / {each.p99_ms:.1f}" if each else "" for each in found]
        yield row([f"`{scenario}`", name, *told])
    yield ""


def _better(played: list[Measured]) -> Iterator[str]:
    """Tell where another did better: in a verdict, or by its median over the same model server."""
    ours = next((each for each in played if each.name == OURS), None)
    if ours is None:
        return
    yield "## Where another does better than ours\n"
    yield "A verdict that is better; or, behind the same mock model server and in a scenario that"
    yield "both pass, a lower p50.\n"
    told = [*_better_verdicts(ours, played), *_better_latencies(ours, played)]
    yield from told or ["Nowhere in this run."]
    yield ""


def _better_verdicts(ours: Measured, played: list[Measured]) -> Iterator[str]:
    for trial in ours.trials:
        if trial.verdict != "pass":
            for each in played:
                its = each.trial(trial.scenario)
                if its and its.verdict == "pass":
                    yield f"- `{trial.scenario}`: {each.name} passes; ours: {trial.verdict}."


def _better_latencies(ours: Measured, played: list[Measured]) -> Iterator[str]:
    for scenario, name in _measurements([ours]):
        mine = _latency(ours, scenario, name)
        for each in played:
            its = _latency(each, scenario, name)
            comparable = each.is_behind_sim and _passes(ours, scenario) and _passes(each, scenario)
            if mine and its and comparable and its.p50_ms < mine.p50_ms:
                medians = f"{its.p50_ms:.1f} ms, ours {mine.p50_ms:.1f} ms"
                yield f"- `{scenario}`, {name}: {each.name} {medians}."


def _repeating(found: list[Measured]) -> Iterator[str]:
    yield "## How to repeat it\n"
    yield "`make peers` does all of it (nginx has to be there: Debian's `nginx-light`), and"
    yield "`.venv/bin/python -m tests.benchmarks.peers --only NAME` measures one of them anew."
    yield "By hand, with `jarvis-trio sim --port 9999` in front of which each is put, and"
    yield "`--scenario NAME` to play one scenario alone, as was done here:\n"
    for each in found:
        if each.missing is None:
            yield f"{each.name}:\n\n```text\n{each.command}\n{each.storm}\n```\n"
    yield "The configuration files are in `tests/benchmarks/servers.py`.\n"


def _scenarios(played: list[Measured]) -> list[str]:
    return list(dict.fromkeys(trial.scenario for each in played for trial in each.trials))


def _measurements(played: list[Measured]) -> list[tuple[str, str]]:
    """Return the key measurement of each scenario: its first."""
    firsts = [
        (trial.scenario, trial.latencies[0].name)
        for each in played
        for trial in each.trials
        if trial.latencies
    ]
    scenarios = _scenarios(played)
    return sorted(dict.fromkeys(firsts), key=lambda first: scenarios.index(first[0]))


def _passes(played: Measured, scenario: str) -> bool:
    trial = played.trial(scenario)
    return trial is not None and trial.verdict == "pass"


def _latency(played: Measured, scenario: str, name: str) -> _Latency | None:
    trial = played.trial(scenario)
    return next((each for each in trial.latencies if each.name == name), None) if trial else None
