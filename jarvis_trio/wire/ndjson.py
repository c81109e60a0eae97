"""Newline-delimited JSON, split into its lines. The format is https://github.com/ndjson/ndjson-spec."""

from jarvis_trio.errors import WireError
from jarvis_trio.wire.decoding import DEFAULT_LIMIT_BYTES


class LineDecoder:
    """Turns bytes, split anywhere, into lines without their ends; blank lines are left out.

    Only LF ends a line; one CR before it goes with it. ``limit_bytes`` bounds one line.
    """

    __slots__ = ("_limit", "_tail", "error")

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.error: WireError | None = None
        self._limit = limit_bytes
        self._tail = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes.

        Errors: WireError when a line grows beyond the limit. Lines completed by the same bytes are
        not lost: they are returned, ``error`` is set, and the next call raises.
        """
        if self.error is None:
            lines = self._lines(data)
            if lines or self.error is None:
                return lines
        raise WireError(self.error.message)

    def finish(self) -> list[bytes]:
        """Return the last line, when no LF ended it. Errors: WireError, as ``feed``."""
        return self.feed(b"\n")

    def _lines(self, data: bytes) -> list[bytes]:
        if b"\n" not in data:
            self._tail += data
            self._check(len(self._tail))
            return []
        raw = data.split(b"\n")
        if self._tail:
            self._tail += raw[0]
            raw[0] = bytes(self._tail)
            self._tail.clear()
        self._tail += raw.pop()
        lines: list[bytes] = []
        for line in raw:
            if self._check(len(line)):
                return lines
            # A CR alone is white space too, so it needs no case of its own.
            if line and not line.isspace():
                lines.append(line.removesuffix(b"\r"))
        self._check(len(self._tail))
        return lines

    def _check(self, size: int) -> bool:
        if size <= self._limit:
            return False
        self._tail.clear()
        self.error = WireError(f"a line is longer than {self._limit} bytes")
        return True
