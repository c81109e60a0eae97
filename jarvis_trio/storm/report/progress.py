"""How the storm gets on: for the report, and for whoever watches a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from jarvis_trio.storm.report.table import STYLES
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import Abilities
from jarvis_trio.storm.trial import Trial


class Course:
    """Keeps what has been found so far. ``playing`` is the scenario of now, None between two."""

    def __init__(self, scenarios: int) -> None:
        self.scenarios = scenarios
        self.abilities: Abilities | None = None
        self.trials: list[Trial] = []
        self.playing: str | None = None
        self.since = monotonic()

    def knows(self, abilities: Abilities) -> None:
        """Take note of what the server was found to know."""
        self.abilities = abilities

    def begins(self, scenario: Scenario) -> None:
        """Take note that a scenario begins."""
        self.playing, self.since = scenario.name, monotonic()

    def ends(self, trial: Trial) -> None:
        """Take note of what it found."""
        self.playing = None
        self.trials.append(trial)


@contextmanager
def shown(course: Course) -> Iterator[None]:
    """Show it on stderr while the block runs, if that is a terminal.

    A thread reads the course and draws: the storm itself never waits for a terminal.
    """
    if not (sys.stderr and sys.stderr.isatty()):  # None when it was closed
        yield
        return
    spinner = Spinner("line")
    live = Live(
        console=Console(stderr=True, highlight=False, markup=False, emoji=False),
        get_renderable=lambda: _drawn(course, spinner),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live:
        yield


def _drawn(course: Course, spinner: Spinner) -> Group:
    doing = course.playing or "looking at the server"
    place = f"{min(len(course.trials) + 1, course.scenarios)} of {course.scenarios}"
    spinner.update(text=Text(f"{doing}  {monotonic() - course.since:.0f} s  ({place})"))
    verdicts = Text("  ")
    for trial in course.trials:
        verdicts.append(f"{trial.scenario}: {trial.verdict}  ", STYLES[trial.verdict])
    return Group(spinner, verdicts)
