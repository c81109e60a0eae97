"""How many streams may live at once, and how many of them may wait for the upstream."""

from jarvis_trio.engine.upstream_turns import UpstreamTurns
from jarvis_trio.errors import OverloadedError, QueueFullError

RETRY_AFTER_SECONDS = 1.0


class Admission:
    """Counts the sessions that have a stream, and the quarantined streams beside them.

    A prompt that supersedes takes its session's place over and is never refused: the place is
    the session's, from its first prompt until its last stream has unwound. A session has at
    most one stream at the upstream or in the line for it, so that the line has ``max_queue``
    places where there are ``upstream_concurrency + max_queue`` for sessions.
    """

    def __init__(
        self, max_streams: int, upstream_concurrency: int | None = None, max_queue: int = 0
    ) -> None:
        self.max_streams = max_streams
        self.max_queue = max_queue
        self.taken = 0
        self.turns = UpstreamTurns(upstream_concurrency)
        self._places_at_upstream = (
            float("inf") if upstream_concurrency is None else upstream_concurrency + max_queue
        )

    def check(self) -> None:
        """See that a place is free. *Errors:* OverloadedError, QueueFullError."""
        self.check_room(self.taken)
        if self.taken >= self._places_at_upstream:
            raise QueueFullError(
                f"{self.max_queue} prompts wait for the model server, which is all that may; "
                "try again shortly",
                retry_after=RETRY_AFTER_SECONDS,
            )

    def check_room(self, streams: int) -> None:
        """See that there may be one more than so many streams. *Errors:* OverloadedError."""
        if streams >= self.max_streams:
            raise OverloadedError(
                f"{self.max_streams} answers are being made, which is all this server admits; "
                "try again shortly",
                retry_after=RETRY_AFTER_SECONDS,
            )

    def take(self) -> None:
        """Take a place, also beyond the limit: a quarantined stream is there, whatever it says."""
        self.taken += 1

    def give_back(self) -> None:
        """Return one place."""
        self.taken -= 1
