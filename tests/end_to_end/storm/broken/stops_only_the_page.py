"""A stop ends what the client sees; the model server works on."""

from jarvis_trio.engine.stream import LiveStream
from tests.end_to_end.storm.broken.with_stop_route import add_stop_route


def break_it() -> None:
    add_stop_route(_conclude)


async def _conclude(stream: LiveStream) -> None:
    stream.conclude()
