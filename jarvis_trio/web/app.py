"""The application: every route there is, and what holds for all of them."""

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from msgspec import Struct
from quart import Response, g, request
from quart.sessions import NullSession, SecureCookieSessionInterface
from quart.wrappers import Request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from jarvis_trio.config import Settings
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.errors import HostNotAllowedError, JarvisError
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.observe.over_time import OverTime
from jarvis_trio.web import errors
from jarvis_trio.web.auth import Keys, check_host
from jarvis_trio.web.connection import DRAIN, STALL_WATCH, HTTPConnection
from jarvis_trio.web.debug_routes import DebugRoutes
from jarvis_trio.web.drain import Drain
from jarvis_trio.web.openai_routes import OpenAIRoutes, trace_of
from jarvis_trio.web.openapi import openapi
from jarvis_trio.web.ops_routes import OpsRoutes
from jarvis_trio.web.overview_routes import OverviewRoutes
from jarvis_trio.web.page_routes import Page, index_without_a_page
from jarvis_trio.web.response_body import Keepalive
from jarvis_trio.web.session_routes import SessionRoutes
from jarvis_trio.web.stall_watch import StallWatch
from jarvis_trio.web.stream_routes import StreamRoutes

WRONG_WORKER = "jarvis_trio runs on trio: start hypercorn with --worker-class trio"


class JarvisRequest(TrioRequest):
    """A request to an application without blueprints."""

    @property
    def blueprints(self) -> list[str]:
        """None; Quart would look for them several times in each request."""
        return []


class NoSessions(SecureCookieSessionInterface):
    """Quart's sessions, kept in cookies: there are none. Ours are the engine's."""

    _nothing = NullSession()

    async def open_session(self, *_: object) -> NullSession:
        """Return what takes nothing and is never saved."""
        return self._nothing


class JarvisApp(QuartTrio):
    """Quart with connections that behave, and without what no route here uses."""

    asgi_http_class = HTTPConnection
    request_class = JarvisRequest
    session_interface = NoSessions()

    async def handle_request(self, request: Request) -> Response | WerkzeugResponse:
        """Answer; a Host that no adapter takes is refused before there is a request context."""
        try:
            return await super().handle_request(request)
        except BadRequest:  # werkzeug's BadHost
            return errors.response_to(
                HostNotAllowedError("this is not the name of a host, and not ours")
            )

    async def asgi_app(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Handle one connection's request, or the server's life; refuse to live without trio."""
        if scope["type"] == "lifespan" and not trio.lowlevel.in_trio_run():
            await receive()
            await send({"type": "lifespan.startup.failed", "message": WRONG_WORKER})
        else:
            await super().asgi_app(scope, receive, send)


class Caretakers(Struct, frozen=True):
    """What runs beside the requests and looks after them."""

    stall_watch: StallWatch
    keepalive: Keepalive
    drain: Drain
    over_time: OverTime


class Views(Struct, frozen=True):
    """What answers requests, by noun."""

    openai: OpenAIRoutes
    session: SessionRoutes
    stream: StreamRoutes
    ops: OpsRoutes
    overview: OverviewRoutes
    debug: DebugRoutes


def build_web(
    settings: Settings, sessions: Sessions, caretakers: Caretakers, metrics: Metrics, page: Page
) -> JarvisApp:
    """Return the application. It neither starts nor stops what it is given: assembly does."""
    app = JarvisApp("jarvis_trio", static_folder=None)
    app.extensions[STALL_WATCH] = caretakers.stall_watch
    app.extensions[DRAIN] = caretakers.drain
    # An address is what it is: no redirects, which would name a wrong scheme behind TLS.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["BODY_TIMEOUT"] = settings.receive_timeout_s
    app.config["RESPONSE_TIMEOUT"] = None
    # None would cancel the lifespan, and with it our own shutdown, before that has begun; what
    # runs in it is bounded by itself.
    app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"] = float("inf")
    keys = Keys(settings.api_keys, settings.admin_keys)
    views = Views(
        openai=OpenAIRoutes(settings, sessions, keys, caretakers.keepalive),
        session=SessionRoutes(sessions, keys),
        stream=StreamRoutes(sessions, keys, caretakers.keepalive),
        ops=OpsRoutes(sessions, metrics, settings.connect_timeout_s),
        overview=OverviewRoutes(sessions, keys, metrics, caretakers.over_time),
        debug=DebugRoutes(sessions, keys),
    )
    _add_routes(app, views)
    _add_page(app, page)
    _add_errors(app)

    @app.before_request
    async def refuse_other_hosts() -> None:
        g.answer_headers = {
            "X-Request-Id": trace_of(request.headers),
            "X-Content-Type-Options": "nosniff",
        }
        check_host(request.headers.get("Host"), settings.allowed_hosts)

    @app.after_request
    async def add_answer_headers(response: Response) -> Response:
        response.headers.update(g.get("answer_headers", {}))
        return response

    return app


def _add_routes(app: JarvisApp, views: Views) -> None:
    for rule, method, view in (
        ("/v1/chat/completions", "POST", views.openai.chat_completions),
        ("/v1/models", "GET", views.openai.models),
        ("/v1/models/<path:model_id>", "GET", views.openai.model),
        ("/v1/sessions", "GET", views.session.list_sessions),
        ("/v1/sessions/<session_id>", "GET", views.session.session),
        ("/v1/sessions/<session_id>", "PATCH", views.session.rename),
        ("/v1/sessions/<session_id>", "DELETE", views.session.delete),
        ("/v1/sessions/<session_id>/messages", "GET", views.session.messages),
        ("/v1/sessions/<session_id>/cancel", "POST", views.session.cancel_session),
        ("/v1/streams/<stream_id>", "GET", views.stream.stream),
        ("/v1/streams/<stream_id>/cancel", "POST", views.stream.cancel_stream),
        ("/v1/ops", "GET", views.overview.ops),
        ("/healthz", "GET", views.ops.healthz),
        ("/readyz", "GET", views.ops.readyz),
        ("/metrics", "GET", views.ops.metrics),
        ("/openapi.json", "GET", openapi),
        ("/debug/tasks", "GET", views.debug.tasks),
    ):
        app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])


def _add_page(app: JarvisApp, page: Page) -> None:
    views = {path: file.answer for path, file in page.items()}
    for rule, view in {"/": index_without_a_page, **views}.items():
        app.add_url_rule(rule, f"GET {rule}", view, methods=["GET"])


def _add_errors(app: JarvisApp) -> None:
    app.register_error_handler(JarvisError, errors.respond)
    app.register_error_handler(HTTPException, errors.respond_to_quart)
    app.register_error_handler(Exception, errors.respond_to_fault)
