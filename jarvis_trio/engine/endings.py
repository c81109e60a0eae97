"""How the last streams ended, for whoever asks about one that is no more."""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from jarvis_trio.engine.prompt import Prompt, SendOrder
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause

MOST: Final = 1000
"""Some seconds' worth for a server that is full: who stops an answer means one of the last."""


class Ending(Struct, frozen=True):
    """What is remembered of a stream."""

    owner: str
    session_id: str
    stream_id: str
    cause: Cause
    tokens_sent: int
    order: SendOrder | None


class Endings:
    """Remembers the last ``MOST``, by stream and by session. Sync."""

    def __init__(self) -> None:
        self._by_stream: OrderedDict[str, Ending] = OrderedDict()
        self._by_session: dict[tuple[str, str], Ending] = {}

    def add(self, stream: LiveStream) -> None:
        """Take note of one that has ended, and forget the oldest if there are too many."""
        prompt = stream.prompt
        ending = Ending(
            prompt.owner,
            prompt.session_id,
            stream.id,
            stream.cause or Cause.COMPLETED,
            stream.answer.pieces,
            prompt.order,
        )
        self._by_stream[stream.id] = self._by_session[prompt.owner, prompt.session_id] = ending
        if len(self._by_stream) > MOST:
            _, oldest = self._by_stream.popitem(last=False)
            key = oldest.owner, oldest.session_id
            if self._by_session[key] is oldest:
                del self._by_session[key]

    def successor_of(self, prompt: Prompt) -> str | None:
        """Return the session's last stream, if its client sent it after ``prompt``."""
        last = self._by_session.get((prompt.owner, prompt.session_id))
        has_successor = last and last.order and last.order.follows(prompt.order)
        return last.stream_id if last and has_successor else None

    def of_stream(self, owner: str | None, stream_id: str) -> Ending | None:
        """Return how a stream ended; ``owner`` None looks among all of them."""
        ending = self._by_stream.get(stream_id)
        return ending if ending is not None and owner in (None, ending.owner) else None

    def of_session(self, owner: str | None, session_id: str) -> Ending | None:
        """Return how the last stream of a session ended; ``owner`` None likewise."""
        if owner is not None:
            return self._by_session.get((owner, session_id))
        found = [end for (_, name), end in self._by_session.items() if name == session_id]
        return found[-1] if found else None
