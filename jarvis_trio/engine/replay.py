"""Frames between the stream that makes them and the readers that send them away.

Above: HTTP responses, each with a reader of its own. Below: the stream, which appends. Frames
are bytes made once and shared; nothing here knows what is in them.
"""

from collections.abc import Callable
from typing import Final

import trio

from jarvis_trio.errors import RequestError, StreamGoneError
from jarvis_trio.events import Cause

PIECE_BYTES: Final = 16 * 1024
"""What frames are joined to for a reader that begins far behind: it finds its place among few."""

Split = Callable[[bytes], list[bytes]]
"""Tells which events frames are made of: the format's affair."""


class ReplayBuffer:
    """A bounded run of frames, with readers that each keep their own place.

    Frames stay until more than ``keep_bytes`` are held and every reader is past them. A reader
    that lags by more than ``limit_bytes`` holds the writer back (:meth:`wait_for_room`); without a
    reader the oldest frames go. ``on_abandoned`` is called when the last reader leaves before the
    end. Events are counted only where somebody asks, or where they are lost.
    """

    def __init__(
        self,
        limit_bytes: int,
        on_abandoned: Callable[[Cause], None],
        split: Split,
        keep_bytes: int | None = None,
    ) -> None:
        self.closed = False
        self.appended_bytes = 0
        self._limit_bytes = limit_bytes
        self._keep_bytes = keep_bytes or limit_bytes
        self._on_abandoned = on_abandoned
        self._split = split
        self._lost_events = 0
        self._frames: list[bytes] = []
        self._start_bytes = 0  # where the first frame that is still held begins
        self._readers: list[Reader] = []
        self._news = trio.lowlevel.ParkingLot()
        self._room: trio.lowlevel.ParkingLot | None = None  # few writers ever wait

    def append(self, frame: bytes) -> None:
        """Add a frame for every reader; after :meth:`close` it is dropped."""
        if self.closed or not frame:
            return
        self._frames.append(frame)
        self.appended_bytes += len(frame)
        self._trim()
        self._news.unpark_all()

    def close(self) -> None:
        """No frame will follow: readers end when they have read what is there."""
        self.closed = True
        self._on_abandoned = _nobody_left  # lets go of the stream: no cycle keeps its memory
        self._news.unpark_all()
        if self._room:
            self._room.unpark_all()

    @property
    def held_bytes(self) -> int:
        """How much can be read again."""
        return self.appended_bytes - self._start_bytes

    @property
    def readers(self) -> int:
        """How many responses read it."""
        return len(self._readers)

    @property
    def has_room(self) -> bool:
        """No reader lags by more than the limit."""
        if self.closed or self.appended_bytes - self._start_bytes <= self._limit_bytes:
            return True  # nobody can lag by more than is held
        return self.lag_bytes <= self._limit_bytes

    async def wait_for_room(self) -> None:
        """Hold the writer back while the slowest reader lags by more than the limit."""
        while not self.has_room:
            self._room = self._room or trio.lowlevel.ParkingLot()
            await self._room.park()

    def attach(self, after: int | None = None) -> "Reader":
        """Open a reader behind event ``after``, or at the oldest frame held.

        Resources: the caller must ``leave()`` it. Errors: those of :meth:`place_after`.
        """
        reader = Reader(self, self._start_bytes if after is None else self.place_after(after))
        self._readers.append(reader)
        return reader

    def place_after(self, count: int) -> int:
        """Return the byte behind the first ``count`` events of all.

        Errors: StreamGoneError when what follows them is no longer held; RequestError when there
        are not as many yet.
        """
        if count < self._lost_events:
            raise StreamGoneError(
                f"the first {self._lost_events} events of this answer are no longer held; "
                f"after={self._lost_events} reads what follows them"
            )
        self.compact()
        left, place = count - self._lost_events, self._start_bytes
        for frame in self._frames:
            if not left:
                break
            events = self._split(frame)
            place += sum(map(len, events[:left]))
            left -= min(left, len(events))
        if left:
            raise RequestError(f"this answer has only {count - left} events so far", param="after")
        return place

    def compact(self) -> None:
        """Join small neighbours."""
        pieces: list[bytes] = []
        run: list[bytes] = []
        size = 0
        for frame in self._frames:
            if run and size + len(frame) > PIECE_BYTES:
                pieces.append(b"".join(run))
                run, size = [], 0
            run.append(frame)
            size += len(frame)
        if run:
            pieces.append(b"".join(run))
        self._frames = pieces

    async def receive(self, reader: "Reader", max_bytes: int) -> bytes:
        """Wait for what ``reader`` has not had: at most ``max_bytes``; ``b""`` at the end."""
        while reader.position >= self.appended_bytes and not self.closed:
            if data := reader.take_aside():
                return data
            await self._news.park()
        reader.take_aside()  # nobody waits for it any more
        data = self._read(reader.position, max_bytes)
        reader.position += len(data)
        self._readers_moved()
        return data

    def wake(self) -> None:
        """Have every reader look again."""
        self._news.unpark_all()

    def detach(self, reader: "Reader", cause: Cause) -> None:
        """Forget a reader; idempotent."""
        if reader in self._readers:
            self._readers.remove(reader)
            self._readers_moved()
            if not self._readers and not self.closed:
                self._on_abandoned(cause)

    def _readers_moved(self) -> None:
        self._trim()
        if self._room:
            self._room.unpark_all()

    @property
    def lag_bytes(self) -> int:
        """What the slowest reader has not had yet."""
        if not self._readers:
            return 0
        return self.appended_bytes - min(reader.position for reader in self._readers)

    def _trim(self) -> None:
        if self.appended_bytes - self._start_bytes <= self._keep_bytes:
            return
        needed_from = min((reader.position for reader in self._readers), default=None)
        dropped = 0
        for frame in self._frames:
            end = self._start_bytes + len(frame)
            if needed_from is not None and end > needed_from:
                break
            dropped += 1
            self._start_bytes = end
            self._lost_events += len(self._split(frame))
            if self.held_bytes <= self._keep_bytes:
                break
        del self._frames[:dropped]

    def _read(self, position: int, max_bytes: int) -> bytes:
        """Return at most ``max_bytes`` from ``position``, across frames."""
        begin = self.appended_bytes
        pieces: list[bytes] = []
        # From the newest back to the one that holds the position: a reader is rarely far behind.
        for frame in reversed(self._frames):
            begin -= len(frame)
            pieces.append(frame)
            if begin <= position:
                break
        if len(pieces) == 1 and begin == position and len(pieces[0]) <= max_bytes:
            return pieces[0]
        pieces.reverse()
        return b"".join(pieces)[position - begin : position - begin + max_bytes]


def _nobody_left(_: Cause) -> None:
    """Stand in for ``on_abandoned`` after the end."""


class Reader:
    """One HTTP response's place in a stream's frames. It owns nothing else."""

    __slots__ = ("_aside", "_buffer", "position")

    def __init__(self, buffer: ReplayBuffer, position: int) -> None:
        self.position = position
        self._buffer = buffer
        self._aside = b""

    async def receive(self, max_bytes: int) -> bytes:
        """Wait for frames and return at most ``max_bytes`` of them; ``b""`` is the end."""
        return await self._buffer.receive(self, max_bytes)

    def hand(self, data: bytes) -> None:
        """Have ``receive`` return ``data``, which is no frame, if it waits and nothing comes."""
        self._aside = data
        self._buffer.wake()

    def take_aside(self) -> bytes:
        """Return what was handed to this reader alone."""
        data, self._aside = self._aside, b""
        return data

    def leave(self, cause: Cause = Cause.CLIENT_DISCONNECT) -> None:
        """Stop reading. Sync and idempotent: nothing ever waits for a reader."""
        self._buffer.detach(self, cause)
