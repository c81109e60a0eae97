"""A stop ends the answer as if it had been cut off: no error, no ``[DONE]``."""

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause
from tests.end_to_end.storm.broken.with_stop_route import add_stop_route


def break_it() -> None:
    add_stop_route(_cut_off)


async def _cut_off(stream: LiveStream) -> None:
    stream.replay.close()
    stream.cancel(Cause.STOPPED)
    await stream.finished.wait()
