"""What a storm found, told to people and to machines.

Every text in it may come from a hostile server: each form escapes it in its own way.
"""

from collections import Counter
from datetime import datetime

from msgspec import Struct

from jarvis_trio.storm.stage import Abilities, StormOptions
from jarvis_trio.storm.trial import Trial, Verdict


class Report(Struct, frozen=True):
    """One storm that is over. ``began_at`` knows its time zone."""

    version: str
    url: str
    sim: str | None
    options: StormOptions
    abilities: Abilities
    began_at: datetime
    seconds: float
    trials: list[Trial]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many scenarios came to which verdict, zeros too."""
        counted = Counter(trial.verdict for trial in self.trials)
        return {verdict: counted[verdict] for verdict in Verdict}

    @property
    def verdict(self) -> Verdict:
        """Fail when any scenario failed; what could not be played is no failure."""
        counts = self.counts
        if counts[Verdict.FAIL]:
            return Verdict.FAIL
        return Verdict.PASS if counts[Verdict.PASS] else Verdict.NOT_APPLICABLE


def printable(text: str) -> str:
    r"""Return the text with all that is not printable written out, as in ``\x1b``.

    What is left moves no cursor, turns no line round, and may stand in XML.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def in_brief(counts: dict[Verdict, int]) -> str:
    """Say it in a few words: ``3 pass, 1 fail``."""
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "none"


def deciding(trial: Trial) -> str:
    """Return the evidence that decided, and how much more there is of its kind."""
    findings = [each for each in trial.findings if not each.holds] or trial.findings
    if not findings:
        return printable(trial.evidence[0])
    more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    first = max(findings, key=lambda finding: finding.seen != "")
    return printable(str(first)) + more
