"""The table that people read in a terminal, or in the log of a build."""

import errno
import os
from typing import IO, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from jarvis_trio.storm.report import Report, deciding, in_brief, printable
from jarvis_trio.storm.trial import Trial, Verdict

STYLES: Final = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.NOT_APPLICABLE: "dim",
}

NARROWEST: Final = 60
"""In less, no verdict can be read: a narrow terminal breaks the lines itself."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Say that nobody reads: rich would leave, with the status of a server that failed."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def print_table(report: Report, file: IO[str]) -> None:
    """Print it: coloured on a terminal, plain elsewhere; NO_COLOR and COLUMNS are obeyed.

    *Errors:* OSError.
    """
    console = _Console(file=file, highlight=False, markup=False, emoji=False)
    console.width = max(console.width, NARROWEST)
    console.print(_table(report))
    console.print()
    for trial in report.trials:
        _print_details(console, trial)
    brief = f"{in_brief(report.counts)}; {report.url}, {report.seconds:.1f} s, "
    console.print(Text(f"{brief}seed {report.options.seed}", STYLES[report.verdict]))


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("scenario", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence")
    table.add_column("p50 / p99 ms", justify="right")
    table.add_column("s", justify="right", no_wrap=True)
    for trial in report.trials:
        table.add_row(
            Text(trial.scenario),
            Text(trial.verdict, STYLES[trial.verdict]),
            Text(deciding(trial)),
            Text(_key_latency(trial)),
            Text(f"{trial.seconds:.1f}"),
        )
    return table


def _key_latency(trial: Trial) -> str:
    if not trial.latencies:
        return ""
    first = trial.latencies[0]
    return f"{first.p50_ms:.1f} / {first.p99_ms:.1f}"


def _print_details(console: Console, trial: Trial) -> None:
    """Print what did not hold, what was measured, and what has to be known to judge both."""
    lines = [
        *(Text(printable(str(each)), "red") for each in trial.findings if not each.holds),
        *(
            Text(
                f"{each.name}: p50 {each.p50_ms:.1f} ms, p99 {each.p99_ms:.1f} ms, "
                f"most {each.max_ms:.1f} ms (of {each.count})"
            )
            for each in trial.latencies
        ),
        *(Text(printable(note), "dim") for note in trial.notes),
    ]
    if not lines:
        return
    console.print(Text(trial.scenario, "bold"))
    if trial.verdict is Verdict.FAIL:
        console.print(Padding(Text(trial.promise), (0, 0, 0, 2), expand=False))
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
    console.print()
