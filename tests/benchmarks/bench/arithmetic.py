"""What one measurement says: times from moments, and what makes them worth less."""

import math
from collections.abc import Iterable
from itertools import pairwise

from tests.benchmarks.bench.record import Departure, FirstText, Lateness, Load, Stream
from tests.benchmarks.bench.tokens import TOKENS_PER_SECOND

BEHIND_MS = 1000
"""A server whose last tokens are so much later than due has not kept up with its model server."""

UNCLOSED_MS = 5000
"""What a departure counts as that the model server had not noticed after so long."""

BUSY_SHARE = 0.8
LATE_US = 5000
OTHERS_CORES = 0.1


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the least value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


def added_ttft_ms(stream: Stream | FirstText) -> float:
    """Return what the server added to the model server's own time to its first token."""
    return ttft_ms(stream) - upstream_ttft_ms(stream)


def ttft_ms(stream: Stream | FirstText) -> float:
    """Return how long after its prompt the client had a first text."""
    return (stream.first_text_ns - stream.sent_ns) / 1e6


def upstream_ttft_ms(stream: Stream | FirstText) -> float:
    """Return what the model server itself took."""
    return (stream.upstream_first_ns - stream.arrived_ns) / 1e6


def gaps_ms(stream: Stream) -> list[float]:
    """Return the pauses between the reads that brought text."""
    moments = [at_us for at_us, _ in stream.reads]
    return [(after - before) / 1000 for before, after in pairwise(moments)]


def behind_ms(load: Load) -> list[float]:
    """Return how much later each stream's last token came than at the model server's own pace.

    That counts from the prompt, so that a server which is slow to pass it on is behind too.
    """
    streaming_ms = (load.tokens_each - 1) * 1000 / TOKENS_PER_SECOND
    return [
        stream.reads[-1][0] / 1000 - upstream_ttft_ms(stream) - streaming_ms
        for stream in begun(load)
    ]


def kept_up(load: Load) -> bool:
    """Say whether every answer was whole, and in time."""
    if any(stream.fault for stream in load.streams):
        return False
    return (percentile(behind_ms(load), 0.99) or 0) <= BEHIND_MS


def closing_ms(gone: Departure) -> float:
    """Return how long after a client left its model server's connection was closed."""
    return (gone.closed_ns - gone.left_ns) / 1e6 if gone.closed_ns else UNCLOSED_MS


def begun(load: Load) -> list[Stream]:
    return [stream for stream in load.streams if stream.reads]


def client_late_us(late: Lateness) -> int:
    """Return how late the client was (p99), with its prompts or with its reads."""
    return max(late.client_p99_us, late.asked_p99_us)


def remarks(load: Load) -> list[str]:
    """Say what makes these numbers worth less: a benchmark that was slow itself, or disturbed."""
    return [*_faults(load), *_own_cost(load.lateness, load.seconds), *_disturbance(load)]


def _faults(load: Load) -> list[str]:
    faults = [stream.fault for stream in load.streams if stream.fault]
    told = [f"{len(faults)} answers were not whole, the first: {faults[0]}"] if faults else []
    behind = percentile(behind_ms(load), 0.99) or 0
    if behind > BEHIND_MS:
        told.append(f"it did not keep up: {behind / 1000:.1f} s behind at the end (p99)")
    return told


def _own_cost(late: Lateness, seconds: float) -> list[str]:
    told = []
    for who, used_ns, p99_us in (
        ("the mock model server", late.upstream_cpu_ns, late.upstream_p99_us),
        ("the client", late.client_cpu_ns, client_late_us(late)),
    ):
        if used_ns / 1e9 > BUSY_SHARE * seconds:
            told.append(f"{who} used {used_ns / 1e7 / seconds:.0f} % of a core")
        if p99_us > LATE_US:
            told.append(f"{who} was {p99_us / 1000:.0f} ms late (p99)")
    return told


def _disturbance(load: Load) -> list[str]:
    ours = load.cpu_ns + load.lateness.upstream_cpu_ns + load.lateness.client_cpu_ns
    cores = (load.machine_busy_ns - ours) / 1e9 / load.seconds
    return [f"other processes used {cores:.1f} cores"] if cores > OTHERS_CORES else []
