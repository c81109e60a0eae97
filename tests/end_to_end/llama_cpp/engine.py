"""What a test may ask of the running llama.cpp."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.end_to_end.processes import NOBODY


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A llama.cpp that serves at ``url``, and the oracle for "the engine is free"."""

    url: str

    def slots(self) -> list[dict[str, Any]]:
        """One object per slot; ``is_processing`` is True from launch to release."""
        answer = httpx.get(f"{self.url}/slots", timeout=30, verify=NOBODY)
        answer.raise_for_status()
        slots: list[dict[str, Any]] = answer.json()
        return slots

    def busy(self) -> int:
        """How many slots are at work."""
        return sum(bool(slot["is_processing"]) for slot in self.slots())

    def counter(self, name: str) -> float:
        """Read a counter of ``/metrics``, brought up to date whenever a slot is released."""
        answer = httpx.get(f"{self.url}/metrics", timeout=30, verify=NOBODY)
        answer.raise_for_status()
        for line in answer.text.splitlines():
            if line.startswith(f"llamacpp:{name} "):
                return float(line.split()[1])
        raise LookupError(name)

    def wait_busy(self, seconds: float, *, slots: int = 1) -> None:
        """Return when at least ``slots`` are at work. *Errors:* AssertionError."""
        deadline = time.monotonic() + seconds
        while (busy := self.busy()) < slots:
            assert time.monotonic() < deadline, f"{busy} of {slots} slots at work in {seconds} s"
            time.sleep(0.01)

    def wait_idle(self, seconds: float) -> float:
        """Return, when no slot is at work, the seconds it took. *Errors:* AssertionError."""
        start = time.monotonic()
        while busy := self.busy():
            assert time.monotonic() < start + seconds, f"{busy} slots busy after {seconds} s"
            time.sleep(0.01)
        return time.monotonic() - start
