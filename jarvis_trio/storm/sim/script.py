"""What requests are to do, whatever model they name: told while the sim runs.

A gateway that knows its models by a list passes on no ``sim-die?at=3``; it passes prompts on.
"""

from typing import Final

import msgspec
from msgspec import Struct

from jarvis_trio.errors import RequestError
from jarvis_trio.storm.sim.asks import Ask
from jarvis_trio.storm.sim.scenarios import SimOptions, read_scenario

MOST_MARKERS: Final = 100_000


class _Line(Struct, forbid_unknown_fields=True):
    model: str | None
    marker: str | None = None


class Script:
    """For each marker, and for requests without a line of their own, the model to behave as."""

    def __init__(self) -> None:
        self._by_marker: dict[str, str] = {}
        self._for_others: str | None = None

    def model_for(self, ask: Ask) -> str:
        """Return whose behaviour the answer has: by the marker, by the script, as asked."""
        return self._by_marker.get(ask.marker or "") or self._for_others or ask.model

    def take(self, body: bytes, options: SimOptions) -> None:
        """Read ``{"marker": "NAME", "model": "sim-die?at=3"}``; without a marker, it is for all.

        ``model`` null takes a line back. *Errors:* `RequestError` for a line that means nothing.
        """
        try:
            line = msgspec.json.decode(body, type=_Line)
        except msgspec.DecodeError as error:
            raise RequestError(f'send {{"marker": …, "model": "sim-…"}}: {error}') from error
        if line.model is not None:
            read_scenario(line.model, options)
        if line.marker is None:
            self._for_others = line.model
        elif line.model is None:
            self._by_marker.pop(line.marker, None)
        elif len(self._by_marker) < MOST_MARKERS:
            self._by_marker[line.marker] = line.model
        else:
            raise RequestError(f"a script has at most {MOST_MARKERS} markers; reset it")

    def reset(self) -> None:
        """Forget every line."""
        self._by_marker.clear()
        self._for_others = None
