"""``id:`` lines for the events of an answer, so that a client can say how far it came.

The format is that of the WHATWG: https://html.spec.whatwg.org/multipage/server-sent-events.html.
Events are what :class:`ChatChunkEncoder` makes: lines end with LF, and comments stand alone.
"""

from typing import Final

_END: Final = b"\n\n"


def split_events(frames: bytes) -> list[bytes]:
    """Return the events that ``frames`` are made of, each with its end."""
    return [event + _END for event in frames.split(_END)[:-1]]


class EventNumbers:
    """Puts ``id: n`` before each event of bytes that are split anywhere; comments have none.

    ``last`` is the number of the event before the first that is fed.
    """

    __slots__ = ("_is_at_end_of_line", "_is_between", "_last")

    def __init__(self, last: int) -> None:
        self._last = last
        self._is_between = True
        self._is_at_end_of_line = False

    def feed(self, data: bytes) -> bytes:
        """Return ``data`` with the ids that belong into it."""
        if not data:
            return data
        pieces: list[bytes] = []
        if self._is_at_end_of_line and data.startswith(b"\n"):  # an end that is split itself
            pieces.append(b"\n")
            data = data[1:]
            self._is_between = True
        *events, rest = data.split(_END)
        for event in events:
            pieces += (self._id_before(event), event, _END)
            self._is_between = True
        if rest:
            pieces += (self._id_before(rest), rest)
            self._is_between = False
        self._is_at_end_of_line = rest.endswith(b"\n")
        return b"".join(pieces)

    def _id_before(self, event: bytes) -> bytes:
        if not self._is_between or event.startswith(b":"):
            return b""
        self._last += 1
        return b"id: %d\n" % self._last
