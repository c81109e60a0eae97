"""What processes cost, from the kernel's own accounting (Linux)."""

import os
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_CPUCLOCK_SCHED = 2


class Memory(Struct, frozen=True):
    """What a tree of processes has in memory; ``pss_bytes`` counts a shared page once."""

    rss_bytes: int
    pss_bytes: int


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text("ascii").split())
    return found


def cpu_ns(pid: int) -> dict[int, int]:
    """Return what each process of a tree has used, in user and system time, to the nanosecond.

    It is the processes' own CPU clocks (clock_getcpuclockid), which the scheduler keeps;
    ``/proc/PID/stat`` has the same in hundredths of a second.
    """
    used = {}
    for each in tree(pid):
        with suppress(OSError):
            used[each] = time.clock_gettime_ns((~each << 3) | _CPUCLOCK_SCHED)
    return used


def used_since(before: dict[int, int], now: dict[int, int]) -> list[int]:
    """Return what each process that is there now has used since, the busiest first."""
    return sorted((used - before.get(each, 0) for each, used in now.items()), reverse=True)


def memory(pid: int) -> Memory:
    """Return what a tree has in memory now."""
    rss = pss = 0
    for each in tree(pid):
        with suppress(OSError):
            fields = _fields(Path(f"/proc/{each}/smaps_rollup"))
            rss += fields.get("Rss", 0)
            pss += fields.get("Pss", 0)
    return Memory(rss, pss)


def _fields(path: Path) -> dict[str, int]:
    lines = [line.split() for line in path.read_text("ascii").splitlines()[1:]]
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}


def machine_busy_ns() -> int:
    """Return what all processors together have not been idle for."""
    first = Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _wait, *interrupts = map(int, first)
    ticks = user + nice + system + sum(interrupts[:2])
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
