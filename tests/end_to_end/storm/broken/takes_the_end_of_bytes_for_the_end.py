"""An upstream that closes without its end marker has completed its answer."""

from jarvis_trio.events import Delta
from jarvis_trio.wire.openai.upstream import ChatDecoder


def break_it() -> None:
    ChatDecoder.finish = _finish  # type: ignore[method-assign]


def _finish(self: ChatDecoder) -> list[Delta]:
    deltas: list[Delta] = []
    if self.error is None and not self.ended:
        self._end(deltas)
    return deltas
