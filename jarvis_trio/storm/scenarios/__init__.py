"""The scenarios, each with what a correct server does."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from jarvis_trio.storm.stage import Stage
from jarvis_trio.storm.trial import Trial


class Scenario(Struct, frozen=True):
    """``play`` does it and notes in the trial what it finds; it bounds its own waits.

    A scenario that ``ends_server`` is played after all others.
    """

    name: str
    promise: str
    play: Callable[[Stage, Trial], Awaitable[None]]
    ends_server: bool = False
