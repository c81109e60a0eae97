"""For administrators: what this process is doing right now."""

from quart import Response, request

from jarvis_trio.engine.report import make_report
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.web.auth import Keys


class DebugRoutes:
    """Views that tell of everybody's sessions: for an administrator's key only."""

    def __init__(self, sessions: Sessions, keys: Keys) -> None:
        self._sessions = sessions
        self._keys = keys

    async def tasks(self) -> Response:
        """GET /debug/tasks: the live tree of tasks."""
        self._keys.check_admin(request.headers, request.remote_addr)
        response = Response(make_report(self._sessions), content_type="text/plain; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
        return response
