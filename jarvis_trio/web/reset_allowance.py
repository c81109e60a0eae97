"""How many requests a connection's client may open and take back at once.

Each costs us more than it costs the client. The allowance is far above what people who press Stop
need, behind a proxy too.
"""

RESETS_AT_ONCE = 1000
RESETS_PER_SECOND = 33


class ResetAllowance:
    """Counts the resets of one connection; they are forgiven at ``RESETS_PER_SECOND``."""

    def __init__(self, now: float) -> None:
        self._resets = 0.0
        self._counted_at = now

    def is_exceeded_by(self, resets: int, now: float) -> bool:
        """Count so many more, at this time in seconds; say whether it is too many."""
        forgiven = (now - self._counted_at) * RESETS_PER_SECOND
        self._resets = max(0.0, self._resets - forgiven) + resets
        self._counted_at = now
        return self._resets > RESETS_AT_ONCE
