"""One prompt's answer, as the model of sessions knows it."""

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause, Message, Phase
from tests.engine.listeners import Listener, Recorder
from tests.engine.steered_upstream import Call

Key = tuple[str, str]
"""An owner and the name of one of its sessions."""


class Stage(Enum):
    """Where an answer is; it only goes down this list, but for asking the upstream again."""

    WAITS = auto()
    """In its session's line."""
    NEXT = auto()
    """It has its session, and waits for its turn at the upstream."""
    ASKS = auto()
    PAUSES = auto()
    """Until it asks again."""
    ANSWERS = auto()
    CLOSES = auto()
    """The upstream's close hangs."""
    FLUSHES = auto()
    """The upstream is closed, and the readers have no room yet for what comes last."""
    QUARANTINED = auto()
    GONE = auto()


AT_UPSTREAM = {Stage.ASKS, Stage.PAUSES, Stage.ANSWERS, Stage.CLOSES}
CONNECTED = {Stage.ASKS, Stage.ANSWERS, Stage.CLOSES, Stage.QUARANTINED}


@dataclass(frozen=True)
class Fate:
    """How an answer will end, if nothing ends it before; ``pause_seconds`` when it asks again."""

    cause: Cause
    code: str = ""
    is_known_at_once: bool = True
    pause_seconds: float | None = None


@dataclass(eq=False)
class Answer:
    """What is known of one prompt's answer, beside the stream that the engine has for it."""

    name: str
    key: Key
    arrived_at: float
    stream: LiveStream
    encoder: Recorder
    calls: list[Call]
    lives_on: bool = False
    is_kept: bool = False
    continues: bool = False
    replaces: str | None = None
    """The stream whose turn it is to replace, or that one's own if it is to replace another."""
    asked_with: tuple[Message, ...] = ()
    is_rolled_back: bool = False
    grace_until: float = inf
    readers: list[Listener] = field(default_factory=list)
    stage: Stage = Stage.WAITS
    cause: Cause | None = None
    code: str = ""
    fate: Fate | None = None
    successor: "Answer | None" = None
    came_next_at: int = 0
    attempts: int = 0
    began_at: float | None = None
    pause_until: float = inf
    overdue_at: float = inf
    was_quarantined: bool = False

    @property
    def has_words(self) -> bool:
        return b"[" in self.encoder.made

    @property
    def call(self) -> Call:
        return self.calls[-1]

    @property
    def is_live(self) -> bool:
        return self.stage is not Stage.GONE

    @property
    def is_released(self) -> bool:
        return self.stage in {Stage.QUARANTINED, Stage.GONE}

    @property
    def has_grace(self) -> bool:
        """Nobody reads it, and it has not ended yet."""
        return self.grace_until < inf and not self.is_released

    @property
    def was_abandoned(self) -> bool:
        """It has ended because nobody was there to read it."""
        return self.cause is Cause.CLIENT_DISCONNECT

    @property
    def lag_bytes(self) -> int:
        """How far its slowest reader is behind."""
        size = len(self.encoder.made)
        return max((size - one.position for one in self.readers if not one.has_left), default=0)

    @property
    def phase(self) -> Phase:
        if self.is_released:
            return Phase.ENDED
        if self.began_at is None:
            return Phase.QUEUED
        if not self.calls or not self.call.is_accepted:
            return Phase.CONNECT
        if self.call.taken_end == "end" and self.stage is not Stage.CLOSES:
            return Phase.FLUSH
        return Phase.DECODE if self.call.has_been_read else Phase.PREFILL

    def __repr__(self) -> str:
        return f"<{self.name} of {'/'.join(self.key)} {self.stage.name} {self.cause}>"
