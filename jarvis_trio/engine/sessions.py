"""Sessions: at most one live stream each; what a new prompt does to it is its policy's to say.

A prompt is accepted by one sync call, so prompts take effect in the order in which they arrive.
Its stream's task then waits, inside its own scope, for those ahead of it to unwind: a client that
leaves or is superseded while it waits is cancelled like any other. There is no lock: the state of
a session changes only in sync code.
"""

from functools import partial

import trio

from jarvis_trio.engine.admission import Admission
from jarvis_trio.engine.directory import Directory
from jarvis_trio.engine.endings import Endings
from jarvis_trio.engine.event_bus import EventBus, EventName
from jarvis_trio.engine.grace import Grace
from jarvis_trio.engine.history import History
from jarvis_trio.engine.kept import KeptAnswers
from jarvis_trio.engine.policies import Decision, Policy, decide
from jarvis_trio.engine.prompt import Prompt
from jarvis_trio.engine.recorder import Recorder
from jarvis_trio.engine.run import StreamLimits, StreamRunner, event_of
from jarvis_trio.engine.session import Session
from jarvis_trio.engine.stopping import Stop
from jarvis_trio.engine.stream import FAILURES, LiveStream, superseded_by
from jarvis_trio.engine.window import Window
from jarvis_trio.errors import JarvisError, ServerShutdownError, SupersededError
from jarvis_trio.events import Cause, Phase
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.observe.task_tree import in_one_line
from jarvis_trio.providers.base import Provider
from jarvis_trio.store.base import DeleteSession

PIECES_OF_PATIENCE = 8
"""A loop that was held up meanwhile has not given a cleanup its time: that costs one piece."""


class Sessions:
    """The service that owns every stream. Run it with ``nursery.start(sessions.run)``.

    Above: the web floor submits prompts and reads frames. Below: one provider. It does not know
    HTTP, formats or keys: ``owner`` is an opaque word, and a session belongs to its owner.
    """

    def __init__(  # noqa: PLR0913 - parts, named by the assembly alone
        self,
        provider: Provider,
        history: History,
        limits: StreamLimits,
        *,
        admission: Admission,
        bus: EventBus,
        metrics: Metrics,
    ) -> None:
        self.provider = provider
        self.history = history
        self.bus = bus
        self.directory = Directory()
        self.streams = self.directory.streams
        self.is_draining = False
        self.endings = Endings()
        self.grace = Grace(limits.resume_grace_seconds, limits.resume_limit_bytes)
        self.kept = KeptAnswers(limits.kept_limit_bytes, self.grace)
        self.window = Window(limits.flush_window_seconds)
        self._limits = limits
        self._recorder = Recorder(history, limits.history_tokens)
        self._runner = StreamRunner(provider, limits, self.window, bus, self._recorder)
        self._metrics = metrics
        self._admission = admission
        self._sessions = self.directory.sessions
        self._nursery: trio.Nursery | None = None
        self._silence: JarvisError | None = None
        self._silent_at = self._heard_at = float("-inf")
        self._closing = trio.Event()
        self.closed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the streams until :meth:`close`, then end them all within ``cleanup_timeout``."""
        try:
            async with trio.open_nursery() as timeouts:
                timeouts.start_soon(self._runner.idle_timeout.run, name="idle timeout")
                timeouts.start_soon(self.grace.run, name="grace")
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    task_status.started()
                    await self._closing.wait()
                    await self.end_all()
                    # What is left tells subscribers how the streams ended.
                    nursery.cancel_scope.deadline = (
                        trio.current_time() + self._limits.cleanup_timeout_seconds
                    )
                timeouts.cancel_scope.cancel(reason="there are no streams any more")
        finally:
            self._nursery = None
            self.bus.close()
            self.closed.set()

    @property
    def upstream_silence(self) -> JarvisError | None:
        """The timeout of the last stream that the upstream gave nothing, until one is given text.

        It may list its models all the while.
        """
        texts = [stream.first_text_at for stream in self.streams if stream.first_text_at]
        return self._silence if max([self._heard_at, *texts]) < self._silent_at else None

    def refuse_prompts(self) -> None:
        """Take no more prompts; what lives goes on."""
        self.is_draining = True

    async def wait_until_idle(self) -> None:
        """Wait until every stream has ended by itself, or is quarantined."""
        while live := [stream for stream in self.streams if not stream.released.is_set()]:
            await live[0].released.wait()

    async def end_all(self) -> None:
        """End every stream with ``server_shutdown``; bounded by ``cleanup_timeout``."""
        streams = list(self.streams)
        for stream in streams:
            stream.cancel(Cause.SHUTDOWN)
        for stream in streams:
            await stream.released.wait()

    async def close(self) -> None:
        """Take no more prompts, end every stream with ``server_shutdown``, and wait for it.

        Bounded, also where a callback or a provider shields itself for ever: then :meth:`run`
        stays until that lets go, as no task can be left behind.
        """
        self.refuse_prompts()
        self._closing.set()
        with trio.move_on_after(2 * self._limits.cleanup_timeout_seconds):
            await self.closed.wait()
        self.bus.close()

    def submit(self, prompt: Prompt, policy: Policy = Policy.INTERRUPT) -> LiveStream:
        """Accept a prompt and start its stream. Sync: it happens whole, and the newest wins.

        The newest is the one that its client says it sent last, or else whose request began last:
        a huge one may be read for longer than its user needs for the next.

        Resources: the caller must ``attach()`` before it awaits, or nobody reads.
        Errors: OverloadedError, QueueFullError, ServerShutdownError; SupersededError where a
        newer prompt has been accepted already.
        """
        if self._nursery is None or self.is_draining:
            raise ServerShutdownError("the server is shutting down", retry_after=1.0)
        key = (prompt.owner, prompt.session_id)
        session = self._sessions.get(key) or Session(*key)
        decision = self._judge(prompt, policy, session)
        grace = self.grace if prompt.lives_on else None
        stream = LiveStream(prompt, self._limits.replay_limit_bytes, self._start_watching, grace)
        if not session.streams:  # nothing that can raise comes after this
            self._admission.take()
            self._sessions[key] = session
        for other in session.streams if decision.supersedes else ():
            other.is_rolled_back |= decision.forgets and other.cause is None
            other.cancel(Cause.SUPERSEDED, superseded_by(stream))
        if ahead := len(session.active):
            stream.log.info("stream_queued", ahead=ahead)
        session.line.append(stream)
        self.streams.add(stream)
        self._metrics.begun.inc()
        self._nursery.start_soon(self._live, session, stream, name=f"stream {stream.id}")
        return stream

    def _judge(self, prompt: Prompt, policy: Policy, session: Session) -> Decision:
        """Decide what a prompt does to what its session has. *Errors:* those of a refusal."""
        active = session.active
        decision = decide(policy, active=len(active), max_waiting=self._limits.session_queue)
        if decision.refusal is not None:
            raise decision.refusal
        if decision.supersedes:
            newer = session.successor_of(prompt) or self.endings.successor_of(prompt)
            if newer is not None:
                raise SupersededError(newer)
        if not session.streams:
            self._admission.check()
        elif not decision.supersedes:  # the place is the session's, but it is one stream more
            self._admission.check_room(len(self.streams))
        return decision

    def stop(self, stream: LiveStream) -> Stop:
        """End ``stream`` with ``stopped``, and return what will tell how that went. Sync.

        Errors: ServerShutdownError.
        """
        if stream.stop is None:
            if self._nursery is None:
                raise ServerShutdownError("the server is shutting down", retry_after=1.0)
            stream.stop = Stop(stream, self.provider, self.streams)
            if stream.phase is not Phase.ENDED:  # what has failed may wait for its readers yet
                stream.cancel(Cause.STOPPED)
            self._nursery.start_soon(stream.stop.run, name=f"stop {stream.id}")
        return stream.stop

    async def delete(self, owner: str, session_id: str) -> None:
        """Delete a conversation; what is live in it, or waits, is stopped and waited for first.

        *Errors:* StoreUnavailableError.
        """
        while (session := self._sessions.get((owner, session_id))) is not None:
            for stream in session.streams:  # what has failed may wait for its readers yet
                stream.cancel(Cause.STOPPED)
            await session.streams[0].released.wait()
        # No await since then: what comes now is a new conversation.
        self.kept.drop(owner, session_id)
        await self.history.change(DeleteSession(owner, session_id))

    async def _live(self, session: Session, stream: LiveStream) -> None:
        """Hold one stream from its place in the line until everything of it is gone."""
        stream.task = trio.lowlevel.current_task()
        try:
            with stream.scope:
                await self._take_over(session, stream)
                await self._admission.turns.take(stream)
                await self._runner.run(
                    stream, upstream_is_left=partial(self._admission.turns.give_back, stream)
                )
        except* Exception:
            stream.log.exception("stream_crashed", phase=str(stream.phase))
            stream.fail(JarvisError("the server failed while it made this answer; see its log"))
        finally:
            self._finish(stream)

    async def _take_over(self, session: Session, stream: LiveStream) -> None:
        """Wait until it is its turn: all ahead of it have unwound, or have had their time."""
        while (predecessor := session.ahead_of(stream)) is not None:
            await predecessor.released.wait()
        # Superseded before our first step: never start. From here to the last line no await.
        await trio.lowlevel.checkpoint_if_cancelled()
        session.start(stream)

    def _start_watching(self, cancelled: LiveStream) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._quarantine_if_overdue, cancelled, name="watch cleanup")

    async def _quarantine_if_overdue(self, cancelled: LiveStream) -> None:
        """Take the output and the session from a stream whose cleanup hangs."""
        for _ in range(PIECES_OF_PATIENCE):
            with trio.move_on_after(self._limits.cleanup_timeout_seconds / PIECES_OF_PATIENCE):
                await cancelled.finished.wait()
        if cancelled.finished.is_set():  # perhaps in the very step in which its time was over
            return
        cancelled.quarantined = True
        self._admission.take()
        self._metrics.quarantined.inc()
        cancelled.log.error("prev_stream_timeout_on_cancel", phase=str(cancelled.phase))
        if cancelled.task is not None:
            cancelled.log.error("cancel_overdue", tasks=in_one_line(cancelled.task))
        cancelled.conclude()
        self._recorder.end(cancelled)
        self._release(cancelled)

    def _finish(self, stream: LiveStream) -> None:
        """Let go of everything. Sync, so that it happens whole, whatever is being cancelled."""
        if stream.phase is not Phase.ENDED and stream.cause is None:
            stream.cancel(Cause.SHUTDOWN)  # the service itself was cancelled
        stream.conclude()
        self._recorder.end(stream)
        if stream.quarantined:
            self._admission.give_back()
        self.streams.discard(stream)
        if stream.first_text_at is not None:
            self._heard_at = max(self._heard_at, stream.first_text_at)
        elif stream.cause is Cause.UPSTREAM_TIMEOUT:
            self._silence, self._silent_at = stream.error, trio.current_time()
        self._tell_end(stream)
        self.endings.add(stream)
        if stream.prompt.lives_on and not stream.was_abandoned:
            self.kept.add(stream)
        stream.finished.set()
        self._release(stream)

    def _release(self, stream: LiveStream) -> None:
        """Take the stream out of its session, and from the upstream; idempotent."""
        self._admission.turns.give_back(stream)
        key = (stream.prompt.owner, stream.prompt.session_id)
        session = self._sessions.get(key)
        if session is not None and stream in session.streams:
            was_holder = session.holder is stream
            session.let_go(stream)
            if was_holder and session.line and stream.finished.is_set():
                stream.log.info("prev_stream_finished_cleanly")
            if not session.streams:
                del self._sessions[key]
                self._admission.give_back()
        stream.released.set()

    def _tell_end(self, stream: LiveStream) -> None:
        stream.count_end(self._metrics)
        stream.log_end()
        name: EventName = "chat.error" if stream.cause in FAILURES else "chat.end"
        if self._nursery is not None and self.bus.has_subscribers(name):
            event = event_of(stream, name, **stream.ending())
            timeout = self._limits.cleanup_timeout_seconds
            self._nursery.start_soon(self.bus.announce, event, timeout, name="announce ending")
