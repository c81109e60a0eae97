"""Puts the parts together: the only place that names concrete classes."""

import encodings.idna  # noqa: F401 - werkzeug's first request would import it, out of descriptors too
import http.client
import os
import resource
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog
import trio

from jarvis_trio.config import (
    FIELDS,
    KEPT_LIMIT_BYTES,
    PREFIX,
    REPLAY_LIMIT_BYTES,
    RESUME_LIMIT_BYTES,
    WITHOUT_EFFECT_YET,
    Settings,
)
from jarvis_trio.engine.admission import Admission
from jarvis_trio.engine.event_bus import EventBus
from jarvis_trio.engine.history import History
from jarvis_trio.engine.report import make_report
from jarvis_trio.engine.run import StreamLimits
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.errors import ConfigError, JarvisError
from jarvis_trio.observe.garbage import collect_when_due, spare_the_loop
from jarvis_trio.observe.logs import configure_logs
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.observe.over_time import OverTime
from jarvis_trio.observe.signal_report import ignore_until_then, report_on_signal
from jarvis_trio.observe.watchdog import Watchdog
from jarvis_trio.providers.base import Provider
from jarvis_trio.providers.ollama import OllamaProvider
from jarvis_trio.providers.openai_compatible import OpenAICompatibleProvider
from jarvis_trio.providers.simulated import SimulatedProvider, parse_simulated
from jarvis_trio.store.base import Store
from jarvis_trio.store.memory import MemoryStore
from jarvis_trio.web.app import Caretakers, JarvisApp, build_web
from jarvis_trio.web.auth import Keys
from jarvis_trio.web.drain import Drain
from jarvis_trio.web.hypercorn_watch import begin_drain_when_told
from jarvis_trio.web.page_routes import HOW_TO_BUILD, NO_PAGE, Page, load_page
from jarvis_trio.web.response_body import Keepalive
from jarvis_trio.web.stall_watch import StallWatch
from jarvis_trio.wire.openai.frames import PING

OLLAMA_PORT = 11434
AUTO_TIMEOUT_SECONDS = 0.5

Service = Callable[[], Awaitable[None]]
"""What runs beside the sessions until they are closed."""

KEEP_SECONDS = 2.0
"""How long a server that ends tries to write what is not in the store yet."""

SPARE_DESCRIPTORS = 256
"""For listeners, logs, probes, and clients that have not asked yet."""

log = structlog.get_logger("jarvis_trio")


def build_app(
    settings: Settings,
    environ: Mapping[str, str] = os.environ,
    *,
    is_under_hypercorn_cli: bool = False,
) -> JarvisApp:
    """Return the whole server as an ASGI application. Call it outside the event loop.

    Under the hypercorn CLI nobody else tells it of a shutdown: then it watches for the signs.
    Errors: ConfigError for settings that cannot work together or are not available yet.
    """
    to_stderr = configure_logs(settings.log_level, settings.log_format, settings.log_file)
    make_room_for(settings.max_streams)
    ignore_until_then()
    provider = build_provider(settings, environ)
    page = load_page()
    if not page:
        log.warning("no_page", hint=HOW_TO_BUILD)
    return assemble(
        settings,
        provider,
        build_store(settings),
        EventBus(),
        is_under_hypercorn_cli=is_under_hypercorn_cli,
        to_stderr=to_stderr,
        page=page,
    )


def assemble(  # noqa: PLR0913 - parts, that tests replace one by one
    settings: Settings,
    provider: Provider,
    store: Store,
    bus: EventBus,
    *,
    is_under_hypercorn_cli: bool = False,
    to_stderr: Callable[[str], None] | None = None,
    page: Page = NO_PAGE,
) -> JarvisApp:
    """Return the application over a provider, a store and an event bus that are already there.

    With ``to_stderr``, which must not wait, SIGUSR1 is the application's: it reports there.
    """
    limits = StreamLimits(
        flush_window_seconds=settings.flush_window_ms / 1000,
        flush_bytes=settings.flush_bytes,
        first_token_timeout_seconds=settings.first_token_timeout_s,
        idle_timeout_seconds=settings.idle_timeout_s,
        cleanup_timeout_seconds=settings.cleanup_timeout_s,
        replay_limit_bytes=REPLAY_LIMIT_BYTES,
        upstream_retries=settings.upstream_retries,
        session_queue=settings.max_queue,
        history_tokens=settings.history_tokens,
        resume_grace_seconds=settings.resume_grace_s,
        resume_limit_bytes=RESUME_LIMIT_BYTES,
        kept_limit_bytes=KEPT_LIMIT_BYTES,
    )
    admission = Admission(settings.max_streams, settings.upstream_concurrency, settings.max_queue)
    metrics = Metrics()
    history = History(store, metrics, waits_for_others=not isinstance(store, MemoryStore))
    sessions = Sessions(provider, history, limits, admission=admission, bus=bus, metrics=metrics)
    metrics.watch(
        live=lambda: len(sessions.streams),
        queued=lambda: admission.turns.waiting,
        unwritten=lambda: history.waiting,
        window=lambda: sessions.window.seconds,
    )
    stall_watch = StallWatch(settings.write_stall_timeout_s)
    drain = Drain(sessions, settings.graceful_timeout_s)
    keepalive = Keepalive(settings.keepalive_s, PING)
    over_time = OverTime(metrics.totals)
    caretakers = Caretakers(stall_watch, keepalive, drain, over_time)
    app = build_web(settings, sessions, caretakers, metrics, page)
    services: dict[str, Service] = {"stall watch": stall_watch.run, "drain": drain.run}
    services |= {"provider": provider.run, "keepalive": keepalive.run, "history": history.run}
    services |= {"window": sessions.window.run, "over time": over_time.run}
    services |= _services_to_see_inside(sessions, metrics, to_stderr)
    if is_under_hypercorn_cli:
        services["hypercorn watch"] = partial(begin_drain_when_told, drain)

    @app.before_serving
    async def start() -> None:
        if to_stderr is not None:  # it is this process's own
            spare_the_loop()
        await app.nursery.start(run_services, sessions, services)
        app.nursery.start_soon(introduce, settings, provider, name="introduce")

    @app.after_serving
    async def stop() -> None:
        await sessions.close()
        # What runs beside the sessions is cancelled when this returns.
        with trio.move_on_after(2 * KEEP_SECONDS):
            await history.closed.wait()

    return app


def _services_to_see_inside(
    sessions: Sessions, metrics: Metrics, to_stderr: Callable[[str], None] | None
) -> dict[str, Service]:
    services: dict[str, Service] = {"watchdog": Watchdog(metrics.loop_blocked.inc).run}
    if to_stderr is not None:
        report = partial(make_report, sessions)
        services["signal report"] = partial(report_on_signal, report, to_stderr)
        services["garbage"] = partial(collect_when_due, lambda: len(sessions.streams))
    return services


def make_room_for(streams: int) -> None:
    """Raise this process's limit of descriptors to what so many streams need, as far as it goes.

    Each takes one towards its client and one towards the upstream; the usual limit is 1024.
    """
    needed = 2 * streams + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < needed:
            log.warning("few_descriptors", limit=most, needed=needed, setting="JARVIS_MAX_STREAMS")


async def run_services(
    sessions: Sessions,
    services: Mapping[str, Service],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run what the application lives by, for as long as there are sessions."""
    async with trio.open_nursery() as nursery:
        for name, service in services.items():
            nursery.start_soon(service, name=name)
        await nursery.start(sessions.run, name="sessions")
        task_status.started()
        await sessions.closed.wait()
        with trio.move_on_after(KEEP_SECONDS):
            await sessions.history.drain()
        nursery.cancel_scope.cancel(reason="the server is shut down")


async def introduce(settings: Settings, provider: Provider) -> None:
    """Say in the log which model answers, or why none does yet; the server runs either way.

    ``pid`` is the process that a signal has to name: under the hypercorn CLI, the worker.
    """
    if Keys(settings.api_keys, settings.admin_keys).is_default:
        log.warning(
            "default_key", hint="devkey opens this server to its own machine; set JARVIS_API_KEYS"
        )
    for name in WITHOUT_EFFECT_YET:
        if getattr(settings, name) != FIELDS[name].default:
            log.warning("setting_without_effect", setting=f"{PREFIX}{name.upper()}")
    told = log.bind(pid=os.getpid(), upstream=provider.name)
    try:
        with trio.fail_after(settings.connect_timeout_s):
            models = await provider.models()
    except trio.TooSlowError:
        told.warning("upstream_not_ready", reason="it does not answer")
    except JarvisError as error:
        told.warning("upstream_not_ready", reason=error.summary)
    except Exception:
        # Only a bug gets here; it must not take down every stream.
        told.exception("upstream_not_ready")
    else:
        model = models[0].id if models else None
        told.info("server_ready", model=model, models=len(models))


def build_provider(settings: Settings, environ: Mapping[str, str]) -> Provider:
    """Return the provider that ``JARVIS_UPSTREAM`` asks for.

    ``auto`` asks, for at most half a second, whether an Ollama answers on this machine.
    """
    kind, _, rest = settings.upstream.partition(":")
    if kind == "auto" and not rest:
        ollama = ollama_url(environ.get("OLLAMA_HOST", ""))
        if _ollama_answers(ollama):
            kind, rest = "ollama", ollama
        else:
            kind = "simulated"
    if kind == "simulated":
        return SimulatedProvider(parse_simulated(f"{kind}:{rest}"))
    if rest.startswith(("http://", "https://")):
        if kind == "ollama":
            return OllamaProvider(rest, settings.upstream_key, settings.connect_timeout_s)
        if kind == "openai":
            return OpenAICompatibleProvider(rest, settings.upstream_key, settings.connect_timeout_s)
    raise ConfigError(
        # What comes behind the kind may hold a password.
        f"JARVIS_UPSTREAM={kind if not rest else kind + ':…'} cannot be used; write auto, "
        "simulated:, ollama:http://127.0.0.1:11434 or openai:http://127.0.0.1:8080/v1"
    )


def build_store(settings: Settings) -> Store:
    """Return the store that ``JARVIS_DATABASE`` names. *Errors:* ConfigError."""
    if settings.database.partition(":")[0] == "memory":
        return MemoryStore()
    from jarvis_trio.store.sql import SQLStore  # noqa: PLC0415 - slower to import than to use

    return SQLStore(settings.database)


def ollama_url(ollama_host: str) -> str:
    """Read ``OLLAMA_HOST`` as Ollama's own client does: scheme, host and port are optional."""
    scheme, separator, rest = ollama_host.strip().partition("://")
    if not separator:
        scheme, rest = "http", scheme
    rest = rest.rstrip("/")
    host, _, port = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
    if not port.isdecimal():
        host, port = rest, {"https": "443"}.get(scheme, str(OLLAMA_PORT))
    if host in ("", "0.0.0.0", "[::]"):  # noqa: S104 - where it listens, not where we do
        host = "127.0.0.1"
    return f"{scheme}://{host}:{port}"


def _ollama_answers(url: str) -> bool:
    scheme, _, address = url.partition("://")
    secure = scheme == "https"
    make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = make(address, timeout=AUTO_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/api/version")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
