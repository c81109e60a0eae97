"""For operators: is it alive, can it answer, what has it counted."""

from typing import Literal

import trio
from msgspec import UNSET, Struct, UnsetType
from quart import Response

from jarvis_trio.engine.overview import known_trouble
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.errors import JarvisError
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.web.json_response import json_response

READINESS_KNOWN_FOR_SECONDS = 2.0
"""A probe needs no key: however often it comes, it asks the upstream only so often."""


class Health(Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Struct):
    """Whether prompts would be answered, by which model server, and why not."""

    status: Literal["ready", "degraded", "not_ready", "draining"]
    upstream: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class OpsRoutes:
    """The views; none of them needs a key, none of them tells of anybody's session."""

    def __init__(self, sessions: Sessions, metrics: Metrics, upstream_timeout_s: float) -> None:
        self._sessions = sessions
        self._metrics = metrics
        self._upstream_timeout_s = upstream_timeout_s
        self._reason: str | None = None
        self._known_until = float("-inf")
        self._asking: trio.Event | None = None

    async def healthz(self) -> Response:
        """GET /healthz: the process answers."""
        return json_response(Health())

    async def readyz(self) -> Response:
        """GET /readyz: prompts would be answered; 503 with the reason when not."""
        if self._sessions.is_draining:
            return json_response(Readiness("draining", reason="the server is shutting down"), 503)
        while trio.current_time() >= self._known_until:
            if self._asking is None:
                await self._find_out()
            else:  # a probe whose client leaves finds out nothing: then the next one asks
                await self._asking.wait()
        upstream = self._sessions.provider.name
        if self._reason is not None:
            return json_response(Readiness("not_ready", upstream, self._reason), 503)
        if (trouble := known_trouble(self._sessions)) is not None:
            # Only prompts can find out that the upstream speaks again, so they must go on coming.
            return json_response(Readiness("degraded", upstream, trouble))
        return json_response(Readiness("ready", upstream))

    async def _find_out(self) -> None:
        self._asking = asking = trio.Event()
        try:
            self._reason = await self._reason_for_not_being_ready()
            self._known_until = trio.current_time() + READINESS_KNOWN_FOR_SECONDS
        finally:
            self._asking = None
            asking.set()

    async def _reason_for_not_being_ready(self) -> str | None:
        provider = self._sessions.provider
        try:
            with trio.fail_after(self._upstream_timeout_s):
                await provider.models()
        except trio.TooSlowError:
            return f"{provider.name} does not answer"
        except JarvisError as error:
            return error.summary
        return None

    async def metrics(self) -> Response:
        """GET /metrics: Prometheus' text format."""
        return Response(
            self._metrics.expose(), content_type="text/plain; version=0.0.4; charset=utf-8"
        )
