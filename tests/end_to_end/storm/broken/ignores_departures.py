"""A client that leaves is not noticed, in the named phases: its answer is made to the end."""

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause

_abandoned = LiveStream._abandoned


def break_it(*phases: str) -> None:
    def ignore(self: LiveStream, cause: Cause) -> None:
        phase = str(self.phase) if self.prompt.request.stream else "whole"
        if phase not in phases:
            _abandoned(self, cause)

    LiveStream._abandoned = ignore  # type: ignore[method-assign]
