"""Server-sent events, decoded.

The format is that of the WHATWG: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from typing import Final

from msgspec import Struct

from jarvis_trio.errors import WireError
from jarvis_trio.wire.decoding import DEFAULT_LIMIT_BYTES

_BOM: Final = b"\xef\xbb\xbf"


class SSEEvent(Struct, frozen=True, gc=False):
    """One event. ``event`` None stands for the type ``message``.

    ``id`` is the stream's last event id, also when this event did not bring it, and None until
    there was one.
    """

    data: bytes
    event: str | None = None
    id: str | None = None


class SSEDecoder:
    """Turns bytes, split anywhere, into events.

    Lines end with CR, LF or CRLF and with nothing else, so U+2028 stays inside its JSON. ``retry``
    and unknown fields are ignored; an event that no blank line ended is dropped.

    ``limit_bytes`` bounds one event: all its lines and line ends, comments too.
    """

    __slots__ = ("_after_cr", "_data", "_event", "_id", "_is_first", "_limit", "_size", "_tail",
                 "error")  # fmt: skip

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.error: WireError | None = None
        self._limit = limit_bytes
        self._tail = bytearray()
        self._size = 0
        self._after_cr = False
        self._is_first = True
        self._data: bytes | bytearray | None = None
        self._event: str | None = None
        self._id: str | None = None

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Return the events that ``data`` completes.

        Errors: WireError when an event grows beyond the limit. Events completed by the same bytes
        are not lost: they are returned, ``error`` is set, and the next call raises.
        """
        if self.error is None:
            events = self._events(self._lines(data))
            if events or self.error is None:
                return events
        raise WireError(self.error.message)

    def _lines(self, data: bytes) -> list[bytes]:
        if self._after_cr and data:
            # A CR at the end of the last read has ended its line already.
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._tail += data
            return []
        lines = data.split(b"\n")
        if self._tail:
            self._tail += lines[0]
            lines[0] = bytes(self._tail)
            self._tail.clear()
        if lines[-1]:
            self._tail += lines[-1]
        lines.pop()
        return lines

    def _events(self, lines: list[bytes]) -> list[SSEEvent]:
        events: list[SSEEvent] = []
        if lines and self._is_first:
            self._is_first = False
            first = lines[0]
            lines[0] = first.removeprefix(_BOM)
            self._size += len(first) - len(lines[0])
        size = self._size
        for line in lines:
            size += len(line) + 1
            if size > self._limit:
                break
            if not line:
                if self._data is not None:
                    events.append(SSEEvent(bytes(self._data), self._event or None, self._id))
                    self._data = None
                self._event = None
                size = 0
            elif self._data is None and line.startswith(b"data: "):
                self._data = line[6:]
            else:
                self._field(line)
        self._size = size
        if size + len(self._tail) > self._limit:
            self._tail.clear()
            self._data = None
            self.error = WireError(f"an event is larger than {self._limit} bytes")
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _append(self, value: bytes) -> None:
        # One buffer, not a list of lines: a flood of tiny lines then costs what it weighs.
        if self._data is None:
            self._data = value
            return
        if not isinstance(self._data, bytearray):
            self._data = bytearray(self._data)
        self._data += b"\n"
        self._data += value
