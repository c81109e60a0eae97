"""What is going on, for a page that polls it: live answers, counts, how soon a cancel frees."""

import os
from typing import Literal

from msgspec import Struct
from quart import Response, request

from jarvis_trio import __version__
from jarvis_trio.engine.overview import StreamCard, known_trouble, shown_streams
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.observe.metrics import CancelLatency, Metrics, Totals
from jarvis_trio.observe.over_time import Lately, OverTime
from jarvis_trio.web.auth import Keys
from jarvis_trio.web.json_response import json_response


class Overview(Struct, kw_only=True):
    """What this process is doing.

    ``streams`` are of ``sees`` all keys, or only the own one: the quarantined and the oldest of
    ``streams_total``. All else is what ``/metrics`` tells anybody. ``trouble`` is what is known
    without asking the model server: ``/readyz`` asks it.
    """

    version: str
    pid: int
    uptime_s: float
    upstream: str
    is_draining: bool
    trouble: str | None
    sees: Literal["all", "own"]
    streams: list[StreamCard]
    streams_total: int
    history_waiting: int
    totals: Totals
    cancel_latency: CancelLatency
    lately: Lately


class OverviewRoutes:
    """The view. An ordinary key sees its own streams, an administrator's all."""

    def __init__(
        self, sessions: Sessions, keys: Keys, metrics: Metrics, over_time: OverTime
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._metrics = metrics
        self._over_time = over_time

    async def ops(self) -> Response:
        """GET /v1/ops."""
        caller = self._keys.caller(request.headers, request.remote_addr)
        sessions = self._sessions
        seen, shown = shown_streams(sessions, caller.sees)
        response = json_response(
            Overview(
                version=__version__,
                pid=os.getpid(),
                uptime_s=round(self._over_time.uptime_seconds, 1),
                upstream=sessions.provider.name,
                is_draining=sessions.is_draining,
                trouble=known_trouble(sessions),
                sees="all" if caller.is_admin else "own",
                streams=shown,
                streams_total=seen,
                history_waiting=sessions.history.waiting,
                totals=self._metrics.totals(),
                cancel_latency=self._metrics.cancel_latency(),
                lately=self._over_time.lately(),
            )
        )
        response.headers["Cache-Control"] = "no-store"
        return response
