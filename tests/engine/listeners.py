"""What a test's readers see of a stream, and what was made for them."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

import trio

from jarvis_trio.engine.replay import Reader
from jarvis_trio.errors import JarvisError
from tests.scripted import PlainEncoder

MOST_BYTES: Final = 16 * 1024


class Recorder(PlainEncoder):
    """Keeps what it makes: every reader has a part of it, in one piece."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self.made = b""
        self.errors: list[JarvisError] = []

    def opening(self) -> bytes:
        return self._keep(super().opening())

    def deltas(self, deltas: Sequence[object]) -> bytes:
        return self._keep(super().deltas(deltas))

    def finish(self, reason: str, usage: object) -> bytes:
        return self._keep(super().finish(reason, usage))

    def error(self, error: JarvisError) -> bytes:
        self.errors.append(error)
        return self._keep(super().error(error))

    def _keep(self, frame: bytes) -> bytes:
        self.made += frame
        return frame


class Listener:
    """Reads as many bytes as it may, and no more; run :meth:`run` in a task of its own."""

    def __init__(
        self,
        reader: Reader,
        may_read: float = inf,
        *,
        begins_at_byte: int | None = None,
    ) -> None:
        self.received = b""
        self.has_left = False
        self.is_at_end = False
        self.may_read = may_read
        self._reader = reader
        self.began_at_byte = reader.position if begins_at_byte is None else begins_at_byte
        self.on_end: Callable[[], None] = lambda: None
        self._scope = trio.CancelScope()
        self._news = trio.lowlevel.ParkingLot()

    @property
    def position(self) -> int:
        """How much of what was made it has had, or never will have."""
        return self.began_at_byte + len(self.received)

    @property
    def is_listening(self) -> bool:
        """It would read what there is."""
        return self.may_read > 0 and not self.has_left

    def read(self, size: float) -> None:
        """Let it read so much more."""
        self.may_read += size
        self._news.unpark_all()

    def leave(self) -> None:
        self.has_left = True
        self._scope.cancel(reason="the client is gone")
        self._reader.leave()

    async def run(self) -> None:
        with self._scope:
            while not self.is_at_end:
                while not self.may_read:
                    await self._news.park()
                data = await self._reader.receive(int(min(self.may_read, MOST_BYTES)))
                self.may_read -= len(data)
                self.received += data
                self.is_at_end = not data
                if b"<end" in data:
                    self.on_end()
