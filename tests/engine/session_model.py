"""What sessions promise, in small (design §3 to §6): who has which place, how each answer ends.

It is told what clients ask for and reads off the upstream's calls what was given and taken; all
else that the engine does it knows by itself. Where the engine may choose, among prompts that came
to the upstream's line at the same instant, the model looks which one it was.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from jarvis_trio.engine.asking import LONGEST_DELAY_SECONDS, RETRY_DELAY_SECONDS
from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.run import StreamLimits
from jarvis_trio.errors import (
    JarvisError,
    OverloadedError,
    QueueFullError,
    SessionBusyError,
    SupersededError,
    UpstreamDownError,
    UpstreamEOFError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import Cause
from tests.engine.session_answer import AT_UPSTREAM, Answer, Fate, Key, Stage
from tests.engine.session_history import HistoryModel
from tests.engine.steered_upstream import End

ROUNDING_SECONDS: Final = 1e-6


SUPERSEDING: Final = {Policy.INTERRUPT, Policy.ROLLBACK}

STOPPED_CODES: Final = {
    Cause.SUPERSEDED: "superseded",
    Cause.STOPPED: "stopped",
    Cause.SHUTDOWN: "server_shutdown",
}
"""What the readers are told of an answer that was ended; who left is told nothing."""


@dataclass(frozen=True)
class Room:
    """How much a server admits."""

    max_streams: int
    concurrency: int | None
    max_queue: int


class SessionModel:
    """Every answer there ever was, and each session's line, whose first one has the session."""

    def __init__(self, room: Room, limits: StreamLimits) -> None:
        self.answers: list[Answer] = []
        self.lines: dict[Key, list[Answer]] = {}
        self.history = HistoryModel(limits.history_tokens)
        self.kept: list[tuple[float, Answer]] = []
        self.deleting: set[Key] = set()
        self.deleted: set[Key] = set()
        self._filed: set[Answer] = set()
        self._room = room
        self._limits = limits
        self._round = 0

    @property
    def live(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.is_live]

    @property
    def places(self) -> int:
        """How many of the server's places are taken."""
        return len(self.lines) + len(self.at(Stage.QUARANTINED))

    def at(self, *stages: Stage) -> list[Answer]:
        return [answer for answer in self.answers if answer.stage in stages]

    def active(self, key: Key) -> list[Answer]:
        """Those of a session that nothing has ended yet."""
        return [answer for answer in self.lines.get(key, []) if answer.cause is None]

    def refusal(self, key: Key, policy: Policy, arrived_at: float) -> type[JarvisError] | None:
        """Say how a prompt is refused, if it is: the table of design §6, and the room there is."""
        active = self.active(key)
        if policy is Policy.REJECT and active:
            return SessionBusyError
        if policy is Policy.ENQUEUE and len(active[1:]) >= self._limits.session_queue and active:
            return QueueFullError
        if policy in SUPERSEDING and any(other.arrived_at > arrived_at for other in active):
            return SupersededError
        return self._refusal_for_room(key, policy)

    def _refusal_for_room(self, key: Key, policy: Policy) -> type[JarvisError] | None:
        room = self._room
        if key not in self.lines:
            if self.places >= room.max_streams:
                return OverloadedError
            if room.concurrency and self.places >= room.concurrency + room.max_queue:
                return QueueFullError
        elif policy not in SUPERSEDING and len(self.live) >= room.max_streams:
            return OverloadedError
        return None

    def prompt(self, answer: Answer, policy: Policy, now: float) -> None:
        """Take a prompt that is not refused."""
        if policy in SUPERSEDING:
            for other in list(self.lines.get(answer.key, [])):
                if other.cause is None:
                    other.successor = answer
                    other.is_rolled_back = policy is Policy.ROLLBACK
                self.cancel(other, Cause.SUPERSEDED, now)
        self.lines.setdefault(answer.key, []).append(answer)
        self.answers.append(answer)

    def cancel(self, answer: Answer, cause: Cause, now: float) -> None:
        """End an answer; the first cause stays, and what has one is only hurried."""
        if answer.is_released:
            return
        if answer.cause is None:
            answer.cause, answer.code = cause, STOPPED_CODES.get(cause, "")
        answer.overdue_at = min(answer.overdue_at, now + self._limits.cleanup_timeout_seconds)
        if answer.stage in {Stage.ASKS, Stage.ANSWERS}:
            self._leave_upstream(answer, now)
        elif answer.stage is not Stage.CLOSES:
            self._release(answer, Stage.GONE)

    def leave(self, answer: Answer, now: float) -> None:
        """Note that a reader has left: with the last one goes what nothing has ended yet."""
        if answer.cause is None and all(reader.has_left for reader in answer.readers):
            if answer.lives_on:
                answer.grace_until = now + self._limits.resume_grace_seconds
            else:
                self.cancel(answer, Cause.CLIENT_DISCONNECT, now)

    def delete(self, key: Key, now: float) -> None:
        """Delete a conversation, when all that lives in it has ended."""
        for answer in list(self.lines.get(key, [])):
            self.cancel(answer, Cause.STOPPED, now)
        self.deleting.add(key)
        self.deleted.add(key)

    def settle(self, now: float) -> None:
        """Follow what has come about since, until nothing moves any more."""
        self._round += 1
        soon = now + ROUNDING_SECONDS
        for answer in self.live:
            if answer.grace_until <= soon:
                answer.grace_until = inf
                self.cancel(answer, Cause.CLIENT_DISCONNECT, now)
        while any(self._move(answer, now) for answer in self.live) or self._promote(now):
            pass
        for answer in self.live:
            if answer.has_words and not answer.is_released:
                self.history.take_place(answer)
        self.kept = [(until, answer) for until, answer in self.kept if until > soon]
        self.kept += [
            (now + self._limits.resume_grace_seconds, answer)
            for answer in self.at(Stage.GONE)
            if answer.lives_on and not answer.was_abandoned and answer not in self._filed
        ]
        self._filed.update(self.at(Stage.GONE))
        for key in [key for key in self.deleting if key not in self.lines]:
            self.deleting.remove(key)
            self.history.delete(key)

    def _move(self, answer: Answer, now: float) -> bool:
        before = answer.stage
        soon = now + ROUNDING_SECONDS
        match answer.stage:
            case Stage.ASKS if len(answer.calls) < answer.attempts:
                pass  # it should have been asked for by now, and the checks say so
            case Stage.ASKS | Stage.ANSWERS if answer.call.taken_end is not None:
                answer.fate = self._fate(answer, answer.call.taken_end)
                self._leave_upstream(answer, now)
            case Stage.ASKS | Stage.ANSWERS | Stage.PAUSES if self._silent_until(answer) <= soon:
                answer.fate = Fate(Cause.UPSTREAM_TIMEOUT, "upstream_timeout")
                self._leave_upstream(answer, now)
            case Stage.ASKS if answer.call.is_accepted:
                answer.stage = Stage.ANSWERS
            case Stage.PAUSES if answer.pause_until <= soon:
                answer.stage = Stage.ASKS
                answer.attempts += 1
            case Stage.CLOSES if not answer.call.hangs:
                self._follow_fate(answer, now)
            case Stage.CLOSES if answer.overdue_at <= soon:
                self._release(answer, Stage.QUARANTINED)
                answer.was_quarantined = True
            case Stage.FLUSHES if answer.lag_bytes <= self._limits.replay_limit_bytes:
                self._note_fate(answer)
                self._release(answer, Stage.GONE)
            case Stage.QUARANTINED if not answer.call.hangs:
                answer.stage = Stage.GONE
        return answer.stage is not before

    def _promote(self, now: float) -> bool:
        """Give the sessions to the first in their lines, and turns at the upstream in order."""
        for line in self.lines.values():
            if line[0].stage is Stage.WAITS:
                line[0].stage, line[0].came_next_at = Stage.NEXT, self._round
        waiting = self.at(Stage.NEXT)
        concurrency = self._room.concurrency or inf
        if not waiting or len(self.at(*AT_UPSTREAM)) >= concurrency:
            return False
        first = min(waiting, key=lambda one: (one.came_next_at, one.stream.started_at is None))
        first.stage, first.began_at, first.attempts = Stage.ASKS, now, 1
        self.history.begin(first)
        return True

    def _silent_until(self, answer: Answer) -> float:
        """When the upstream of an answer will have said nothing for too long."""
        assert answer.began_at is not None
        if not answer.call.has_been_read:
            return answer.began_at + self._limits.first_token_timeout_seconds
        if answer.call.asked_for_more_at is None:
            return inf  # it is our readers that are slow
        seconds = self._limits.flush_window_seconds + self._limits.idle_timeout_seconds
        return answer.call.asked_for_more_at + seconds

    def _fate(self, answer: Answer, end: End) -> Fate:
        if end == "end":
            if answer.call.is_finished:
                return Fate(Cause.COMPLETED, is_known_at_once=False)
            return Fate(Cause.UPSTREAM_EOF, "upstream_eof", is_known_at_once=False)
        if isinstance(end, UpstreamDownError) and not answer.call.is_accepted:
            pause = max(RETRY_DELAY_SECONDS, end.retry_after or 0)
            if pause <= LONGEST_DELAY_SECONDS and answer.attempts <= self._limits.upstream_retries:
                return Fate(Cause.UPSTREAM_ERROR, pause_seconds=pause)
        cause = Cause.UPSTREAM_ERROR
        if isinstance(end, UpstreamEOFError):
            cause = Cause.UPSTREAM_EOF
        elif isinstance(end, UpstreamTimeoutError):
            cause = Cause.UPSTREAM_TIMEOUT
        return Fate(cause, end.code if isinstance(end, JarvisError) else "internal_error")

    def _leave_upstream(self, answer: Answer, now: float) -> None:
        if answer.stage is not Stage.PAUSES and answer.call.hangs:
            answer.stage = Stage.CLOSES
        else:
            self._follow_fate(answer, now)

    def _follow_fate(self, answer: Answer, now: float) -> None:
        """Go on as the upstream is closed."""
        fate = answer.fate
        if answer.cause is not None or fate is None:
            self._release(answer, Stage.GONE)
        elif fate.pause_seconds is not None:
            answer.stage, answer.pause_until = Stage.PAUSES, now + fate.pause_seconds
        else:
            answer.stage = Stage.FLUSHES
            if fate.is_known_at_once:
                self._note_fate(answer)

    def _note_fate(self, answer: Answer) -> None:
        if answer.cause is None and answer.fate is not None:
            answer.cause, answer.code = answer.fate.cause, answer.fate.code

    def _release(self, answer: Answer, stage: Stage) -> None:
        """Take an answer out of its session."""
        answer.stage = stage
        self.history.end(answer)
        line = self.lines[answer.key]
        line.remove(answer)
        for other in line:
            if other.replaces == answer.stream.id and not self.history.has(answer):
                other.replaces = answer.replaces
        if not line:
            del self.lines[answer.key]
