"""What lives, for a page that asks every second: what it costs is little, however much there is.

Ids are shown; prompts, keys and who owns what are not.
"""

from heapq import nsmallest
from typing import Final

import trio
from msgspec import Struct

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause, Phase

MOST_SHOWN: Final = 100


class StreamCard(Struct, frozen=True, kw_only=True):
    """A stream that has not unwound yet.

    ``cause`` says why it is ending, ``ending_s`` since when it was told to. ``behind_bytes`` is
    what the slowest of its ``readers`` has not had. One that ``lives_on`` goes on without readers,
    for ``grace_left_s``, which is null while there are any.
    """

    stream_id: str
    session_id: str
    model: str | None
    phase: Phase
    cause: Cause | None
    age_s: float
    ending_s: float | None
    quarantined: bool
    tokens_sent: int
    retries: int
    readers: int
    behind_bytes: int
    lives_on: bool
    grace_left_s: float | None


def known_trouble(sessions: Sessions) -> str | None:
    """Return why answers are less than they should be, as far as it is known without asking."""
    if (silent := sessions.upstream_silence) is not None:
        return silent.summary
    if (trouble := sessions.history.trouble) is not None:
        return f"conversations are not kept now: {trouble}"
    return None


def shown_streams(sessions: Sessions, owner: str | None) -> tuple[int, list[StreamCard]]:
    """Return how many streams ``owner`` has, and of these the quarantined and the oldest.

    ``owner`` None has everybody's: who may do that is the web floor's to say.
    """
    streams = [s for s in sessions.streams if owner in (None, s.prompt.owner)]
    shown = nsmallest(MOST_SHOWN, streams, key=_by_concern)
    return len(streams), [_card(sessions, stream) for stream in shown]


def _by_concern(stream: LiveStream) -> tuple[bool, float, str]:
    return (not stream.quarantined, stream.prompt.arrived_at, stream.id)


def _card(sessions: Sessions, stream: LiveStream) -> StreamCard:
    prompt = stream.prompt
    return StreamCard(
        stream_id=stream.id,
        session_id=prompt.session_id,
        model=prompt.request.model,
        phase=stream.phase,
        cause=stream.cause,
        age_s=round(trio.current_time() - prompt.arrived_at, 1),
        ending_s=_rounded(stream.seconds_since_cancel),
        quarantined=stream.quarantined,
        tokens_sent=stream.answer.pieces,
        retries=stream.retries,
        readers=stream.replay.readers,
        behind_bytes=stream.replay.lag_bytes,
        lives_on=prompt.lives_on,
        grace_left_s=_rounded(sessions.grace.left_seconds(stream.id)),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
