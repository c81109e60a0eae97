"""Real sessions over a steered upstream, in a run that stands still between steps, and the model.

:meth:`World.step` is the only way in which anything happens: it does one thing, lets the engine and
the model follow it, and has everything checked.
"""

from collections import Counter
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from functools import partial
from math import inf
from typing import Any, Final

import structlog
import trio

from jarvis_trio.engine.admission import Admission
from jarvis_trio.engine.event_bus import EventBus
from jarvis_trio.engine.history import History
from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.resuming import find_answer
from jarvis_trio.engine.run import StreamLimits
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stopping import Receipt
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import JarvisError, StoreUnavailableError
from jarvis_trio.events import Cause, Phase
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.store.base import SetTitle, State
from tests.engine.listeners import Listener, Recorder
from tests.engine.session_answer import Answer, Key, Stage
from tests.engine.session_history import FlakyStore
from tests.engine.session_model import Room, SessionModel
from tests.engine.steered_upstream import Backend, Call, SteeredUpstream
from tests.engine.stepped_run import SteppedRun
from tests.scripted import ask

LIMITS: Final = StreamLimits(
    flush_window_seconds=0.075,
    flush_bytes=1024,
    # Not a multiple of anything: what happens at one instant may happen in any order.
    first_token_timeout_seconds=20.0007,
    idle_timeout_seconds=10.0011,
    cleanup_timeout_seconds=2,
    replay_limit_bytes=2000,
    upstream_retries=1,
    session_queue=2,
    history_tokens=4000,
    resume_grace_seconds=6.0013,
    resume_limit_bytes=5000,
    kept_limit_bytes=12_000,
)


@dataclass(frozen=True)
class Kind:
    """What a prompt asks for beside an answer."""

    lives_on: bool = False
    is_kept: bool = False
    continues: bool = False
    replaces: str | None = None


@dataclass(eq=False)
class Stopping:
    """One answer's stop, and what all who asked for it were told."""

    answer: Answer
    began_at: float
    had_ended: bool
    phase: Phase
    asked: int = 0
    receipts: list[Receipt] = field(default_factory=list)
    released_at: float = inf
    heard: set[Backend] = field(default_factory=set)
    """What the backend said from then until there was a receipt."""
    is_answered: bool = False


@dataclass
class World:
    """All there is in one run of the machine."""

    room: Room
    limits: StreamLimits
    check: Callable[["World"], None]
    violations: list[str] = field(default_factory=list)
    stops: dict[str, Stopping] = field(default_factory=dict)
    logged: Counter[tuple[str, str]] = field(default_factory=Counter)
    backend_changed_at: float = -inf
    without_history: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        structlog.configure(processors=[self._count], cache_logger_on_first_use=False)
        self.upstream = SteeredUpstream(self._note_open)
        self.admission = Admission(
            self.room.max_streams, self.room.concurrency, self.room.max_queue
        )
        self.metrics = Metrics()
        self.store = FlakyStore()
        self.history = History(self.store, self.metrics, waits_for_others=False)
        self.sessions = Sessions(
            self.upstream,
            self.history,
            self.limits,
            admission=self.admission,
            bus=EventBus(),
            metrics=self.metrics,
        )
        self.model = SessionModel(self.room, self.limits)
        self._clients: trio.Nursery | None = None
        self.run = SteppedRun(self._run)

    @property
    def now(self) -> float:
        return self.run.now

    def step(self, effect: Callable[[], None], *, touches: Key | None = None) -> None:
        """Do something that concerns one session (or any), and see that all is as it should be."""
        others = [
            (answer, self._seen(answer))
            for answer in self.model.live
            if touches is not None and answer.key != touches and answer.stage is not Stage.NEXT
        ]
        self.run.do(effect)
        self._follow()
        for answer, seen in others:  # I8
            assert self._seen(answer) == seen, f"{answer} was changed by another session's step"

    def let_pass(self, seconds: float) -> None:
        """Let time pass, and check at each instant at which something is due."""
        while seconds > 0:
            seconds -= self.run.jump(seconds)
            self._follow()

    def prompt(
        self, key: Key, policy: Policy, arrived_at: float, may_read: float, kind: Kind
    ) -> JarvisError | None:
        """Send a prompt and read its answer; return why not, if it is refused."""
        name = f"p{len(self.model.answers)}"
        prompt = Prompt(
            ask(name, continues=kind.continues, replaces=kind.replaces),
            *key,
            name,
            Recorder,
            arrived_at,
            lives_on=kind.lives_on,
            is_kept=kind.is_kept,
        )
        try:
            stream = self.sessions.submit(prompt, policy)
        except JarvisError as refusal:
            return refusal
        assert isinstance(stream.encoder, Recorder)
        calls = self.upstream.calls[name]
        answer = Answer(name, key, arrived_at, stream, stream.encoder, calls, *astuple(kind))
        self.model.prompt(answer, policy, self.now)
        self.attach(answer, may_read)
        return None

    def attach(self, answer: Answer, may_read: float) -> None:
        """Have one more reader."""
        self._listen(answer, Listener(answer.stream.attach(), may_read))

    def attach_again(
        self, answer: Answer, owner: str, after: int, may_read: float
    ) -> JarvisError | None:
        """Come back behind event ``after``; return why not, if that is refused."""
        events = answer.encoder.split(answer.encoder.made)
        try:
            reader = find_answer(self.sessions, owner, answer.stream.id).attach(after)
        except JarvisError as refusal:
            return refusal
        place = sum(map(len, events[:after]))
        self._listen(answer, Listener(reader, may_read, begins_at_byte=place))
        return None

    def _listen(self, answer: Answer, reader: Listener) -> None:
        reader.on_end = partial(self._see_that_it_is_stored, answer)
        answer.grace_until = inf
        answer.readers.append(reader)
        self._spawn(reader.run)

    def _see_that_it_is_stored(self, answer: Answer) -> None:
        """Whoever has seen a good end finds it in the history, unless that is known to be away."""
        told = [
            m.state for m in self.store.messages(*answer.key) if m.stream_id == answer.stream.id
        ]
        if answer.is_kept and not answer.is_live:
            return
        if answer.is_kept and self.history.trouble is None and told[1:] != [State.COMPLETE]:
            self.violations.append(f"{answer} was told to be complete, and is not stored")

    def take_store_away(self) -> None:
        """And have that noticed."""
        self.store.is_away = True
        self.history.put(SetTitle("nobody", "", "", 0))

    def delete(self, key: Key) -> None:
        """Delete a conversation, in a task of its own."""
        self.model.delete(key, self.now)

        async def delete() -> None:
            with suppress(StoreUnavailableError):
                await self.sessions.delete(*key)

        self._spawn(delete)

    def leave(self, answer: Answer, reader: Listener) -> None:
        """Have a reader go away in the middle of it."""
        was_there = not reader.has_left
        reader.leave()
        if was_there:
            self.model.leave(answer, self.now)

    def stop(self, answer: Answer) -> None:
        """Stop a stream, and wait for the receipt in a task of its own."""
        stop = self.stops.setdefault(
            answer.name, Stopping(answer, self.now, answer.cause is not None, answer.phase)
        )
        stop.asked += 1
        waiting = self.sessions.stop(answer.stream)
        if answer.cause is None or answer.stage is Stage.FLUSHES:
            self.model.cancel(answer, Cause.STOPPED, self.now)

        async def wait() -> None:
            stop.receipts.append(await waiting.wait())

        self._spawn(wait)

    def set_backend(self, backend: Backend) -> None:
        """Have the upstream say something else of what it works at."""
        self.upstream.backend, self.backend_changed_at = backend, self.now

    def shut_down(self) -> None:
        """Close the sessions."""
        self._spawn(self.sessions.close)
        for answer in self.model.live:
            self.model.cancel(answer, Cause.SHUTDOWN, self.now)

    def named(self, name: str) -> Answer:
        return next(answer for answer in self.model.answers if answer.name == name)

    def finish(self) -> None:
        """End the run without checking anything more."""
        for call in self.upstream.open_calls:
            self.run.do(call.let_go)
        self.run.finish()
        structlog.reset_defaults()

    async def _run(self, run: SteppedRun) -> None:
        async with trio.open_nursery() as self._clients:
            self._clients.start_soon(self.history.run)
            await self._clients.start(self.sessions.run)
            await run.follow()
            self._clients.cancel_scope.cancel(reason="the test is over")

    def _follow(self) -> None:
        self.model.settle(self.now)
        self._note_what_is_heard()
        self.check(self)

    def _note_what_is_heard(self) -> None:
        for stop in self.stops.values():
            if stop.answer.is_released and not stop.is_answered:
                stop.released_at = min(stop.released_at, self.now)
                stop.heard.add(self.upstream.backend)
                stop.is_answered = bool(stop.receipts)

    def _spawn(self, work: Callable[[], Any]) -> None:
        assert self._clients is not None
        self._clients.start_soon(work)

    def _seen(self, answer: Answer) -> tuple[object, ...]:
        stream: LiveStream = answer.stream
        received = [reader.received for reader in answer.readers]
        calls = [(call.is_open, len(call.waiting)) for call in answer.calls]
        return answer.encoder.made, received, calls, stream.cause, stream.phase, stream.quarantined

    def _note_open(self, call: Call) -> None:
        """I1, I2, I7, at the instant at which a request goes out."""
        answer = self.named(call.prompt)
        if self.history.trouble is not None or self.store.is_away:
            self.without_history.add(call.prompt)
        if answer.stream.cause is not None:
            self.violations.append(f"{answer} asked after it had ended")
        others = [self.named(other.prompt) for other in self.upstream.open_calls]
        others = [other for other in others if not other.stream.quarantined]
        if any(other.key == answer.key for other in others):
            self.violations.append(f"{answer} asked before {others} was closed")
        if len(others) >= (self.room.concurrency or inf):
            self.violations.append(f"{answer} asked beside {others}")

    def _count(
        self, _: object, __: str, entry: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        self.logged[entry["event"], entry.get("stream_id", "")] += 1
        raise structlog.DropEvent
