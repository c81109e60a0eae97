"""An error in mid-stream is told as if the model had said it."""

from jarvis_trio.events import Delta, Text
from jarvis_trio.wire.openai.upstream import ChatDecoder
from jarvis_trio.wire.sse import SSEEvent

_read = ChatDecoder._read


def break_it() -> None:
    ChatDecoder._read = _read_errors_too  # type: ignore[method-assign]


def _read_errors_too(self: ChatDecoder, event: SSEEvent, deltas: list[Delta]) -> None:
    _read(self, event, deltas)
    if self.error is not None:
        deltas.append(Text(f"Error: {self.error}"))
        self.error = None
        self._end(deltas)
