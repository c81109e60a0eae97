"""Nothing broken: a server with the stop route that ours does not have yet."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from jarvis_trio import assembly
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Cause
from jarvis_trio.web.app import JarvisApp, build_web

Stop = Callable[[LiveStream], Awaitable[None]]


def break_it() -> None:
    add_stop_route(_cancel_and_wait)


def add_stop_route(stop: Stop) -> None:
    """Have the application answer ``POST /v1/sessions/{id}/cancel`` when ``stop`` is done."""
    assembly.build_web = partial(_build_web_and, stop)  # type: ignore[attr-defined]


def _build_web_and(stop: Stop, settings: Any, sessions: Sessions, *others: Any) -> JarvisApp:
    async def cancel(session_id: str) -> dict[str, int]:
        found = [each for each in sessions.streams if each.prompt.session_id == session_id]
        for stream in found:
            await stop(stream)
        return {"stopped": len(found)}

    app = build_web(settings, sessions, *others)
    app.add_url_rule("/v1/sessions/<session_id>/cancel", "stop", cancel, methods=["POST"])
    return app


async def _cancel_and_wait(stream: LiveStream) -> None:
    stream.cancel(Cause.STOPPED)
    await stream.finished.wait()
