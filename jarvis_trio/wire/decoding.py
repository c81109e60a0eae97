"""What every decoder of an answer promises, and what they share."""

from abc import ABC, abstractmethod
from typing import Final, Generic, Protocol, TypeVar

from jarvis_trio.errors import JarvisError, WireError
from jarvis_trio.events import Delta

DEFAULT_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""The longest line or event that we keep in memory while waiting for its end."""

MALFORMED: Final = (ValueError, RecursionError)
"""What msgspec raises for any bytes that are not the JSON asked for."""


class DeltaDecoder(Protocol):
    """Turns an upstream's bytes, however split, into deltas; never raises.

    Above: a provider, which reads the connection and names the upstream in errors. Below: bytes.
    It knows nothing of connections, deadlines or the HTTP status.

    The deltas hold exactly one ``Finish`` when ``ended`` becomes true; a ``Usage`` may come after
    it. Deltas that came before a fault are returned, and the fault is left in ``error``.
    """

    ended: bool
    """The upstream's own end marker was seen and everything before it was handed out."""

    error: JarvisError | None
    """Why the answer can go no further; once set, neither call returns anything more.

    WireError for malformed bytes and for a line beyond the limit, UpstreamError for the upstream's
    own error frame, UpstreamEOFError for an end of the bytes without an end marker.
    """

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes and return the deltas that they completed."""
        ...

    def finish(self) -> list[Delta]:
        """Take note that no more bytes will come; return what only the end completes."""
        ...


Piece = TypeVar("Piece")


class Framing(Protocol[Piece]):
    """Cuts bytes into pieces: lines, or server-sent events."""

    error: WireError | None
    """What ended the framing, behind the pieces that came before it."""

    def feed(self, data: bytes) -> list[Piece]:
        """Take the next bytes and return the pieces that they completed."""
        ...


class FramedDecoder(ABC, Generic[Piece]):
    """What the formats share: pieces are read in order, until the end or the first fault."""

    __slots__ = ("_framing", "ended", "error")

    def __init__(self, framing: Framing[Piece]) -> None:
        self.ended = False
        self.error: JarvisError | None = None
        self._framing = framing

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes and return the deltas that they completed."""
        deltas: list[Delta] = []
        if self.ended or self.error is not None:
            return deltas
        try:
            pieces = self._framing.feed(data)
        except WireError as error:
            self.error = error.with_traceback(None)  # its frames hold us
            return deltas
        for piece in pieces:
            self._read(piece, deltas)
            if self.ended or self.error is not None:
                return deltas
        self.error = self._framing.error
        return deltas

    @abstractmethod
    def _read(self, piece: Piece, deltas: list[Delta]) -> None:
        """Read one piece into ``deltas``, or set ``ended`` or ``error``."""
