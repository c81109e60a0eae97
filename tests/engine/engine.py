"""An engine in virtual time, with a scripted provider below and plain frames above."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from jarvis_trio.engine.admission import Admission
from jarvis_trio.engine.event_bus import EventBus
from jarvis_trio.engine.history import History
from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.run import StreamLimits
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.store.memory import MemoryStore
from tests.scripted import PlainEncoder, Script, ScriptedProvider, ask

LIMITS = StreamLimits(
    flush_window_seconds=0.075,
    flush_bytes=1024,
    first_token_timeout_seconds=120,
    idle_timeout_seconds=60,
    cleanup_timeout_seconds=2,
    replay_limit_bytes=64 * 1024,
    upstream_retries=1,
    session_queue=2,
    history_tokens=4000,
    resume_grace_seconds=30,
    resume_limit_bytes=256 * 1024,
    kept_limit_bytes=4 * 1024 * 1024,
)


class Client:
    """One reader of one stream, and what it has read so far."""

    def __init__(self, stream: LiveStream, after: int | None = None) -> None:
        self.stream = stream
        self.reader = stream.attach(after)
        self.frames: list[tuple[float, bytes]] = []
        self.started = trio.current_time()

    @property
    def received(self) -> bytes:
        return b"".join(frame for _, frame in self.frames)

    async def read(self) -> bytes:
        """Read to the end."""
        while await self.read_one():
            pass
        return self.received

    async def read_one(self) -> bytes:
        frame = await self.reader.receive(16 * 1024)
        if frame:
            self.frames.append((round(trio.current_time() - self.started, 6), frame))
        return frame

    async def read_until(self, text: bytes) -> None:
        with trio.fail_after(1000):
            while text not in self.received:
                assert await self.read_one(), f"ended with {self.received!r}"


class Engine:
    """Sessions over a scripted provider."""

    def __init__(
        self,
        script: Script,
        limits: StreamLimits = LIMITS,
        *,
        max_streams: int = 1000,
        concurrency: int | None = None,
        max_queue: int = 0,
        store: MemoryStore | None = None,
    ) -> None:
        self.provider = ScriptedProvider(script)
        self.admission = Admission(max_streams, concurrency, max_queue)
        self.turns = self.admission.turns
        self.started_at = 0.0
        self.bus = EventBus()
        self.metrics = Metrics()
        self.store = store or MemoryStore()
        self.history = History(self.store, self.metrics, waits_for_others=False)
        self.sessions = Sessions(
            self.provider,
            self.history,
            limits,
            admission=self.admission,
            bus=self.bus,
            metrics=self.metrics,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Engine"]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.history.run)  # noqa: ASYNC113 - it has no moment to wait for
            await nursery.start(self.sessions.run)
            self.started_at = trio.current_time()
            yield self
            await self.sessions.close()
            nursery.cancel_scope.cancel(reason="the test is over")

    def send(
        self,
        prompt: str,
        session: str = "s",
        owner: str = "me",
        policy: Policy = Policy.INTERRUPT,
        *,
        continues: bool = False,
        is_kept: bool = True,
        lives_on: bool = False,
        replaces: str | None = None,
    ) -> Client:
        request = ask(prompt, continues=continues or replaces is not None, replaces=replaces)
        made = Prompt(
            request,
            owner,
            session,
            prompt,
            PlainEncoder,
            lives_on=lives_on,
            is_kept=is_kept,
        )
        return Client(self.sessions.submit(made, policy))

    async def assert_nothing_is_left(self) -> None:
        """I6. Waits for trees that are still unwinding, not for anything else."""
        with trio.fail_after(30):
            for stream in list(self.sessions.streams):
                await stream.finished.wait()
        assert not self.sessions.streams
        assert not self.sessions._sessions
        assert self.admission.taken == 0
        assert not self.turns._takers
        assert self.turns._limiter.borrowed_tokens == 0
        assert not self.sessions._runner.idle_timeout._ends
        assert not self.sessions.grace._ends
        assert not self.sessions.kept._answers
        assert self.sessions.kept.held_bytes == 0
        assert self.provider.open == 0
