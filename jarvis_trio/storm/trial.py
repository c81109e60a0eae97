"""What one scenario finds: expectations that held or not, numbers, and the verdict they make."""

from enum import StrEnum

from msgspec import Struct, field

from jarvis_trio.storm.lag import TOO_LATE_MS

LONGEST_SEEN = 500
"""What a server says is quoted up to here: it may say anything, at any length."""


class Verdict(StrEnum):
    """How a server did in one scenario."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


class NotApplicableError(Exception):
    """The scenario cannot be played against this server; the message says what is missing."""


class Finding(Struct, frozen=True):
    """Something that a correct server does, whether this one did, and what was seen."""

    sentence: str
    holds: bool
    seen: str = ""

    def __str__(self) -> str:
        mark = "" if self.holds else "NOT: "
        return mark + self.sentence + (f" ({self.seen})" if self.seen else "")


class Latency(Struct, frozen=True):
    """Times of one sort, in milliseconds. ``limit_ms`` is what a correct server keeps, if any."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    limit_ms: float | None = None


class Row(Struct, frozen=True):
    """One prompt in time: what was seen of it when, as (label, ms since the first prompt)."""

    name: str
    ending: str
    client: list[tuple[str, float]]
    upstream: list[tuple[str, float]]


class Trial(Struct):
    """One scenario, played. ``lag_ms`` is how late the harness itself was at most."""

    scenario: str
    promise: str
    findings: list[Finding] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    timeline: list[Row] = field(default_factory=list)
    missing: str | None = None
    lag_ms: float = 0.0
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Fail when any expectation did not hold, pass when there was one and all held."""
        if any(not finding.holds for finding in self.findings):
            return Verdict.FAIL
        return Verdict.PASS if self.findings else Verdict.NOT_APPLICABLE

    @property
    def evidence(self) -> list[str]:
        """What the verdict rests on, the failures first."""
        if self.verdict is Verdict.NOT_APPLICABLE:
            return [self.missing or "nothing was looked at"]
        ordered = sorted(self.findings, key=lambda finding: finding.holds)
        return [str(finding) for finding in ordered] + self.notes

    def expect(self, sentence: str, holds: bool, seen: object = "") -> bool:
        """Note what a correct server does, and whether this one did."""
        told = "; ".join(map(str, seen)) if isinstance(seen, list) else str(seen)
        self.findings.append(Finding(sentence, holds, told[:LONGEST_SEEN]))
        return holds

    def measure(self, name: str, times_ns: list[int], at_most_seconds: float | None = None) -> None:
        """Note times of one sort, and what a correct server keeps; none at all is no measurement.

        They are held against it in the end, and only if the harness itself was not late.
        """
        if times_ns:
            ordered = [time / 1e6 for time in sorted(times_ns)]
            p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
            p50 = ordered[len(ordered) // 2]
            found = round(p50, 2), round(p99, 2), round(ordered[-1], 2)
            limit_ms = None if at_most_seconds is None else at_most_seconds * 1000
            self.latencies.append(Latency(name, len(ordered), *found, limit_ms))

    def judge_latencies(self, lag_ms: float) -> None:
        """Hold the times against their limits, or say why not; all has been measured by now."""
        self.lag_ms = round(lag_ms, 1)
        if lag_ms > TOO_LATE_MS:
            if self.latencies:
                self.note(
                    f"latencies are not judged: this harness was {lag_ms:.0f} ms late itself"
                    f" (its limit is {TOO_LATE_MS:.0f} ms)"
                )
            return
        for latency in self.latencies:
            if (limit_ms := latency.limit_ms) is not None:
                sentence = f"{latency.name}: never more than {limit_ms / 1000:g} s"
                seen = f"at most {latency.max_ms:g} ms"
                self.expect(sentence, latency.max_ms <= limit_ms, seen)

    def note(self, sentence: str) -> None:
        """Note something that decides nothing."""
        self.notes.append(sentence)
