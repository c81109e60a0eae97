"""A model server whose every move a test decides, and that sees what the engine does to it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal

import trio

from jarvis_trio.engine.pace import size_of
from jarvis_trio.errors import (
    ModelNotFoundError,
    RequestError,
    UpstreamBusyError,
    UpstreamDownError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import ChatRequest, Delta, Finish, Message, Model, Text

GATHERED_BYTES: Final = 1024
LONGEST_HANG_SECONDS: Final = 100_000

End = Exception | Literal["end"]
"""How an answer ends for who reads it: with an error, or without more."""

ERRORS: Final[dict[str, Callable[[], Exception]]] = {
    "failed": lambda: UpstreamError("it failed"),
    "rejected": lambda: UpstreamRejectedError("too long"),
    "limited": lambda: UpstreamRateLimitError("too often", retry_after=1),
    "down": lambda: UpstreamDownError("not there"),
    "busy": lambda: UpstreamBusyError("loading", retry_after=0.3),
    "busy for long": lambda: UpstreamBusyError("loading", retry_after=5),
    "cut": lambda: UpstreamEOFError("closed"),
    "slow": lambda: UpstreamTimeoutError("dialling took too long"),
    "no model": lambda: ModelNotFoundError("no such model"),
    "bad request": lambda: RequestError("no such option"),
    "bug": lambda: KeyError("a bug"),
}


class Call:
    """One request: what it was given, what of that was taken, and whether it is still open."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self.messages = messages
        # What came before the prompt and had no answer stands in one message with it.
        self.prompt = messages[-1].text.rpartition("\n\n")[2]
        self.is_open = True
        self.is_accepted = False
        self.hangs = False
        self.given: list[str] = []
        self.is_finished = False
        self.has_ended = False
        self.has_been_read = False
        self.is_gathering = False
        self.taken_end: End | None = None
        self.asked_for_more_at: float | None = None
        self._refusal: Exception | None = None
        self._waiting: list[Delta | End] = []
        self._news = trio.lowlevel.ParkingLot()

    @property
    def waiting(self) -> list[Delta | End]:
        """What has come and was not read yet."""
        return self._waiting

    def accept(self) -> None:
        self.is_accepted = True
        self._news.unpark_all()

    def refuse(self, error: Exception) -> None:
        self._refusal = self.taken_end = error
        self._news.unpark_all()

    def give(self, *sizes: int) -> None:
        """Make a token of each size; each says whose it is and which, so that none is like another.

        One of no size is a sign of life without text.
        """
        for size in sizes:
            text = f"{self.prompt}.{len(self.given)} ".ljust(size, "_") if size else ""
            self.given.append(text)
            self._bring(Text(text))

    def finish(self) -> None:
        """Send the end marker."""
        self.is_finished = True
        self._bring(Finish("stop"))

    def end(self, how: End) -> None:
        self.has_ended = True
        self._bring(how)

    def let_go(self) -> None:
        self.hangs = False
        self._news.unpark_all()

    async def wait_for_verdict(self) -> None:
        while not self.is_accepted:
            if self._refusal is not None:
                raise self._refusal
            await self._news.park()

    async def hang(self) -> None:
        """Wait until it is let go, if it hangs."""
        while self.hangs:
            await self._news.park()

    async def receive(self) -> list[Delta]:
        self._note_return()
        while not self._waiting:
            await self._news.park()
        if deltas := self.receive_nowait():
            return deltas
        self.taken_end = self._waiting[0] if not isinstance(self._waiting[0], Delta) else None
        if isinstance(self.taken_end, Exception):
            raise self.taken_end
        return []

    def receive_nowait(self) -> list[Delta]:
        deltas: list[Delta] = []
        while self._waiting and isinstance(delta := self._waiting[0], Delta):
            deltas.append(delta)
            del self._waiting[0]
        if deltas:
            self.has_been_read = True
            self.asked_for_more_at = None
        return deltas

    async def gather(self, seconds: float) -> None:
        self._note_return()
        await trio.lowlevel.checkpoint()  # as every provider's: it is where a cancel finds text
        self.is_gathering = True
        try:
            with trio.move_on_after(seconds):
                while not self.is_worth_reading:
                    await self._news.park()
        finally:
            self.is_gathering = False

    @property
    def is_worth_reading(self) -> bool:
        """So much waits, or the end does, that it should be read before the window is over."""
        texts = [delta for delta in self._waiting if isinstance(delta, Text)]
        return len(texts) < len(self._waiting) or size_of(texts) > GATHERED_BYTES

    def _note_return(self) -> None:
        if self.asked_for_more_at is None:
            self.asked_for_more_at = trio.current_time()

    def _bring(self, what: Delta | End) -> None:
        self._waiting.append(what)
        self._news.unpark_all()


Backend = Literal["honest", "mute", "failing", "broken", "busy"]


class SteeredUpstream:
    """The provider. ``on_open`` is told each call while it opens, before anybody else can move."""

    name = "steered"
    default_model: str | None = "steered-model"

    def __init__(self, on_open: Callable[[Call], None]) -> None:
        self.calls: defaultdict[str, list[Call]] = defaultdict(list)
        self.backend: Backend = "honest"
        self._on_open = on_open

    @property
    def open_calls(self) -> list[Call]:
        """Those whose connection is open, in the order in which they came."""
        return [call for calls in self.calls.values() for call in calls if call.is_open]

    @asynccontextmanager
    async def chat(self, request: ChatRequest) -> AsyncIterator[Call]:
        call = Call(request.messages)
        self._on_open(call)
        self.calls[call.prompt].append(call)
        try:
            await call.wait_for_verdict()
            yield call
        finally:
            # What a provider must not do, and the engine has to survive.
            with trio.move_on_after(LONGEST_HANG_SECONDS, shield=True):
                await call.hang()
            call.is_open = False

    async def run(self) -> None:
        await trio.sleep_forever()

    async def models(self) -> list[Model]:
        await trio.lowlevel.checkpoint()
        return [Model("steered-model")]

    async def busy(self) -> int | None:
        """Say how many calls are open, or what ``backend`` says."""
        await trio.lowlevel.checkpoint()
        match self.backend:
            case "honest":
                return len(self.open_calls)
            case "failing":
                raise UpstreamError("it has no such route")
            case "broken":
                raise ZeroDivisionError
            case "busy":
                return 99
        return None
