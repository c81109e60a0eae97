"""How many streams may live at once."""

from jarvis_trio.errors import OverloadedError

RETRY_AFTER_SECONDS = 1.0


class Admission:
    """Counts the sessions that have a stream, and the quarantined streams beside them.

    A prompt that supersedes takes its session's place over and is never refused: the place is
    the session's, from its first prompt until its last stream has unwound.
    """

    def __init__(self, max_streams: int) -> None:
        self.max_streams = max_streams
        self.taken = 0

    def check(self) -> None:
        """See that a place is free. *Errors:* OverloadedError when all are taken."""
        if self.taken >= self.max_streams:
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
