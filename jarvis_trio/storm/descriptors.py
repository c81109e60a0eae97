"""Open files and memory: the harness's own limit, and what a server on this machine holds."""

import os
import resource
from pathlib import Path
from typing import Final

from msgspec import Struct

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def allow_many_descriptors() -> int:
    """Raise this process's limit as far as it goes, and return it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Holdings(Struct, frozen=True):
    """What a process and all its descendants hold."""

    processes: int
    descriptors: int
    resident_bytes: int
    cpu_seconds: float

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors and {self.resident_bytes / 1e6:.1f} MB"


def read_holdings(pid: int) -> Holdings | None:
    """Return what the tree of ``pid`` holds; None where this machine does not tell."""
    processes = descriptors = resident_bytes = ticks = 0
    pids = [pid]
    while pids:
        process = _PROC / str(pids.pop())
        try:
            for task in (process / "task").iterdir():
                pids += map(int, (task / "children").read_text("ascii").split())
            descriptors += len(list((process / "fd").iterdir()))
            pages = (process / "statm").read_text("ascii").split()[1]
            numbers = (process / "stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            if not processes:
                return None
            continue  # one of its children has ended just now
        processes += 1
        resident_bytes += int(pages) * _PAGE_BYTES
        ticks += int(numbers[11]) + int(numbers[12])
    return Holdings(processes, descriptors, resident_bytes, ticks / _TICKS_PER_SECOND)
