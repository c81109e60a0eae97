"""What is kept of the conversations: writes in their order, and never in a token's way.

Streams hand over writes by sync calls. One task applies them, all that wait in one unit of work, so
that the order of the calls is that of the store. A store that is slow or away is told of in the log
and by ``/readyz``; meanwhile writes wait here, and nothing waits for them.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import structlog
import trio

from jarvis_trio.errors import JarvisError, StoreUnavailableError
from jarvis_trio.events import Message
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.store.base import (
    BeginTurn,
    EndTurn,
    Place,
    Store,
    StoredMessage,
    StoredSession,
    Write,
)

PATIENCE_SECONDS: Final = 0.5
"""How long what must be written first may take; a store that took longer is not waited for."""

READ_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0

MOST_AT_ONCE: Final = 500
"""Writes in one unit of work: what many streams end with in one step, in some ten milliseconds."""

MOST_IN_CONTEXT: Final = 400
"""Messages of a conversation that a next turn may bring along."""

MOST_WAITING_BYTES: Final = 64 * 1024 * 1024
BYTES_PER_WRITE: Final = 1000

READING_THREADS: Final = 4

log = structlog.get_logger("jarvis_trio")

T = TypeVar("T")


class Job:
    """A write that waits, and what became of it."""

    __slots__ = ("error", "is_done", "size", "write")

    def __init__(self, write: Write) -> None:
        self.write = write
        self.size = BYTES_PER_WRITE + _text_bytes(write)
        self.is_done = trio.Event()
        self.error: Exception | None = None


class History:
    """Keeps conversations in ``store``, which is its own. Run it as a service.

    A store that ``waits_for_others`` (a disk, a network) is called in threads. Above: streams and
    routes. It knows no stream and no HTTP.
    """

    def __init__(self, store: Store, metrics: Metrics, *, waits_for_others: bool = True) -> None:
        self.name = store.name
        self.trouble: str | None = None
        self._store = store
        self._metrics = metrics
        self._waits_for_others = waits_for_others
        self._jobs: deque[Job] = deque()
        self._waiting_bytes = 0
        self._news = trio.Event()
        self._is_open = trio.Event()
        self.closed = trio.Event()
        self._writing = trio.CapacityLimiter(1)
        self._reading = trio.CapacityLimiter(READING_THREADS)
        self._recalling = trio.CapacityLimiter(READING_THREADS)  # routes hold no prompt up

    @property
    def waiting(self) -> int:
        """How many writes are not in the store yet."""
        return len(self._jobs)

    async def run(self) -> None:
        """Open the store and write, until cancelled; then close it."""
        try:
            while True:
                if not await self._work():
                    await trio.sleep(RETRY_SECONDS)  # nobody tells
        finally:
            if self._jobs:
                self._metrics.history_lost.inc(len(self._jobs))
                log.error("history_lost", waiting=self.waiting, reason=self.trouble)
            with trio.move_on_after(PATIENCE_SECONDS, shield=True):
                await self._hop(self._store.close, self._writing)
            self.closed.set()

    async def drain(self) -> None:
        """Wait until all is written that was handed over before."""
        if self._jobs:
            await self._jobs[-1].is_done.wait()

    def put(self, write: Write) -> Job | None:
        """Hand over a write; None when so many wait already that this one is lost. Sync."""
        job = Job(write)
        if self._waiting_bytes + job.size > MOST_WAITING_BYTES:
            self._metrics.history_lost.inc()
            log.error("history_lost", write=type(write).__name__, waiting=len(self._jobs))
            return None
        self._jobs.append(job)
        self._waiting_bytes += job.size
        self._news.set()
        return job

    async def wait_for(self, job: Job) -> bool:
        """Wait until it is done, unless the store is in trouble; say whether it is."""
        if self.trouble is None and not job.is_done.is_set():
            with trio.move_on_after(PATIENCE_SECONDS) as patience:
                await job.is_done.wait()
            if patience.cancelled_caught:
                self._note_trouble(f"{self.name} does not write in time")
        return job.is_done.is_set()

    async def change(self, write: Write) -> None:
        """Hand over a write that somebody waits for. *Errors:* StoreUnavailableError.

        It may still happen after that error, as it stays in its place in the order.
        """
        job = self.put(write)
        if job is None or not await self.wait_for(job):
            raise self._unavailable()
        if job.error is not None:
            # The database's own words may quote what it was given.
            raise JarvisError("the store refused this; see the server's log") from None

    async def sessions(
        self, owner: str | None, *, limit: int, after: Place | None, search: str
    ) -> list[StoredSession]:
        """Return one page of sessions. *Errors:* StoreUnavailableError, as of all that read."""
        return await self._read(
            partial(self._store.sessions, owner, limit=limit, after=after, search=search)
        )

    async def session(self, owner: str | None, session_id: str) -> StoredSession | None:
        """Return one session; ``owner`` None looks among all of them."""
        return await self._read(partial(self._store.session, owner, session_id))

    async def messages(
        self, owner: str, session_id: str, *, limit: int, after: int | None, newest_first: bool
    ) -> list[StoredMessage]:
        """Return one page of a session's messages."""
        read = partial(self._store.messages, owner, session_id, limit=limit)
        return await self._read(partial(read, after=after, newest_first=newest_first))

    async def conversation(
        self, owner: str, session_id: str, replaced: str | None
    ) -> list[StoredMessage] | None:
        """Return what a next turn may need; None when the store is in trouble, or too slow.

        It is the last messages, of those before the turn ``replaced``, and the first one before
        them, which may be an instruction.
        """

        def read() -> list[StoredMessage]:
            last = self._store.last_messages(
                owner, session_id, limit=MOST_IN_CONTEXT, replaced=replaced
            )
            if len(last) < MOST_IN_CONTEXT:
                return last
            first = self._store.messages(owner, session_id, limit=1)
            return [message for message in first if message.seq < last[0].seq] + last

        if self.trouble is None:
            with trio.move_on_after(PATIENCE_SECONDS), suppress(StoreUnavailableError):
                return await self._read_now(read, self._recalling)
            if self.trouble is None:
                self._note_trouble(f"{self.name} does not answer in time")
        return None

    async def _read(self, read: Callable[[], T]) -> T:
        """Read for a route. That it takes long, as a search may, is no trouble of the store's."""
        with trio.move_on_after(READ_SECONDS):
            return await self._read_now(read, self._reading)
        raise StoreUnavailableError(
            f"{self.name} did not find it in time; ask for less", retry_after=RETRY_SECONDS
        )

    async def _read_now(self, read: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        """Read, after all that was handed over before."""
        if self._jobs and not await self.wait_for(self._jobs[-1]):
            raise self._unavailable()
        await self._is_open.wait()
        try:
            return await self._hop(read, limiter)
        except StoreUnavailableError as error:
            self._note_trouble(error.summary)
            raise

    async def _work(self) -> bool:
        """Do what there is to do, or wait for it; False when the store is away."""
        began = trio.current_time()
        if self.trouble is not None or not self._is_open.is_set():
            if not await self._open():
                return False
            if not self._jobs and trio.current_time() - began < PATIENCE_SECONDS:
                self._note_recovery()
        while not self._jobs and self.trouble is None:
            self._news = trio.Event()
            await self._news.wait()
        return not self._jobs or await self._apply(list(islice(self._jobs, MOST_AT_ONCE)))

    async def _open(self) -> bool:
        """Open the store, again if need be: what it was may have been taken away."""
        try:
            await self._hop(self._store.open, self._writing)
        except StoreUnavailableError as error:
            self._note_trouble(error.summary)
        except Exception as error:
            # A bug of the store's must not take down every stream.
            if self.trouble is None:
                log.exception("history_crashed")
            self._note_trouble(f"{self.name}: {type(error).__name__}")
        else:
            self._is_open.set()
            return True
        return False

    async def _apply(self, jobs: list[Job]) -> bool:
        """Write the first jobs there are; False when the store is away and they still wait."""
        began = trio.current_time()
        try:
            await self._hop(partial(self._store.apply, [job.write for job in jobs]), self._writing)
        except StoreUnavailableError as error:
            self._note_trouble(error.summary)
            return False
        except Exception as error:
            if len(jobs) > 1:  # one of them cannot be kept: it must not take the others with it
                for job in jobs:
                    if not await self._apply([job]):
                        return False
                return True
            # Without a traceback: a database's errors quote what they were given.
            log.error("history_refused", error=type(error).__name__)  # noqa: TRY400
            self._metrics.history_lost.inc()
            jobs[0].error = error
        if trio.current_time() - began < PATIENCE_SECONDS:
            self._note_recovery()
        for job in jobs:
            self._jobs.popleft()
            self._waiting_bytes -= job.size
            job.is_done.set()
        return True

    async def _hop(self, work: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        if not self._waits_for_others:
            await trio.lowlevel.checkpoint()
            return work()
        # Abandoned only when the server ends, and by readers. What a write then still does is
        # whole, and fenced by its stream.
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)

    def _note_trouble(self, reason: str) -> None:
        if self.trouble is None:
            log.error("history_degraded", store=self.name, reason=reason, waiting=self.waiting)
            self._news.set()
        self.trouble = reason

    def _note_recovery(self) -> None:
        if self.trouble is not None:
            log.info("history_recovered", store=self.name, waiting=self.waiting)
        self.trouble = None

    def _unavailable(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the conversations cannot be reached now: {self.trouble}; answers go on",
            retry_after=RETRY_SECONDS,
        )


def _text_bytes(write: Write) -> int:
    match write:
        case BeginTurn(messages=messages):
            return sum(map(_message_bytes, messages))
        case EndTurn(answer=answer):
            return len(answer.text) + len(answer.reasoning)
    return 0


def _message_bytes(message: Message) -> int:
    calls = sum(len(call.arguments) for call in message.tool_calls)
    return len(message.text) + sum(map(len, message.images)) + calls
