"""A stop ends what the client sees; the model server works on."""

from typing import Any

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stopping import Stop
from jarvis_trio.engine.stream import LiveStream


def break_it() -> None:
    Sessions.stop = _conclude  # type: ignore[method-assign]


def _conclude(self: Sessions, stream: LiveStream) -> Stop:
    stream.conclude()
    stop: Any = Stop(stream, self.provider, self.streams)
    stop._receipt = stop._make_receipt(None, None)
    stop._is_over.set()
    return stop  # type: ignore[no-any-return]
