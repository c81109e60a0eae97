"""One conversation: who has its slot, and who waits for it, in which order.

Sync and without effects; :mod:`sessions` decides who joins, and runs them.
"""

from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.stream import LiveStream


class Session:
    """``holder`` has the slot until its tree has unwound or is quarantined; ``line`` waits for it.

    Who is cancelled in the line stays there until its task has seen it, one step later.
    """

    def __init__(self, owner: str, session_id: str) -> None:
        self.owner = owner
        self.id = session_id
        self.holder: LiveStream | None = None
        self.line: list[LiveStream] = []

    @property
    def streams(self) -> list[LiveStream]:
        """All of them, in the order in which they have the slot."""
        return [*filter(None, [self.holder]), *self.line]

    @property
    def active(self) -> list[LiveStream]:
        """Those that nothing has ended yet: the first is live, or about to be, the others wait."""
        return [stream for stream in self.streams if stream.cause is None]

    def successor_of(self, prompt: Prompt) -> str | None:
        """Return the stream of a newer prompt that nothing has ended yet, the last there is."""
        newer = (s.id for s in reversed(self.active) if s.prompt.is_newer_than(prompt))
        return next(newer, None)

    def ahead_of(self, stream: LiveStream) -> LiveStream | None:
        """Return whom ``stream``, which is in the line, waits for; None when it is its turn."""
        place = self.line.index(stream)
        return self.line[place - 1] if place else self.holder

    def start(self, stream: LiveStream) -> None:
        """Give the slot to ``stream``, the first in the line."""
        self.line.remove(stream)
        self.holder = stream

    def let_go(self, stream: LiveStream) -> None:
        """Take ``stream`` out, wherever it is; idempotent.

        Who waits to replace its turn replaces what that was to replace, if it leaves none.
        """
        if self.holder is stream:
            self.holder = None
        elif stream in self.line:
            self.line.remove(stream)
        for other in self.line if not stream.leaves_a_turn else ():
            if other.replaces == stream.id:
                other.replaces = stream.replaces

    def __repr__(self) -> str:
        return f"<Session {self.id} holder={self.holder} line={self.line}>"
