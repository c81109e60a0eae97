"""A stop ends the answer as if it had been cut off: no error, no ``[DONE]``."""

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stopping import Stop
from jarvis_trio.engine.stream import LiveStream

_stop = Sessions.stop


def break_it() -> None:
    Sessions.stop = _cut_off  # type: ignore[method-assign]


def _cut_off(self: Sessions, stream: LiveStream) -> Stop:
    stream.replay.close()
    return _stop(self, stream)
