"""Stream ids: ``str_`` and a ULID, which tells when it was made (https://github.com/ulid/spec)."""

import re
import secrets
import time
from typing import Final

CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_WELL_FORMED: Final = re.compile(f"str_[0-7][{CROCKFORD}]{{25}}")


def new_stream_id() -> str:
    """Return ``str_`` and 26 characters that sort by time."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "str_" + "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def made_at(stream_id: str) -> float | None:
    """Return when an id was made, in unix seconds; None for what cannot be one of ours."""
    if not _WELL_FORMED.fullmatch(stream_id):
        return None
    milliseconds = 0
    for character in stream_id[4:14]:
        milliseconds = milliseconds << 5 | CROCKFORD.index(character)
    return milliseconds / 1000
