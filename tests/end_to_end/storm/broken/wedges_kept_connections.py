"""A connection is kept open behind its answer, and what comes on it is never read."""

from hypercorn.protocol.h11 import H11Protocol


def break_it() -> None:
    H11Protocol._maybe_recycle = _forget  # type: ignore[method-assign]


async def _forget(self: H11Protocol) -> None:
    pass
