"""``jarvis-trio serve``: Hypercorn under our own ``trio.run``, with our sockets and signals.

Beside the hypercorn CLI, it says in a sentence what is wrong, prints its line only when it really
accepts, and obeys a second signal. It is one process: several share a port with ``reuse_port``
under a process manager, and each has sessions of its own.
"""

import signal
import socket
import ssl
from contextlib import suppress
from functools import partial

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_app

from jarvis_trio.assembly import build_app
from jarvis_trio.config import Settings
from jarvis_trio.errors import ConfigError
from jarvis_trio.listeners import bind_listener, bind_quic
from jarvis_trio.web.app import JarvisApp
from jarvis_trio.web.connection import DRAIN
from jarvis_trio.web.drain import Drain
from jarvis_trio.web.hypercorn_floods import bound_hypercorn
from jarvis_trio.web.hypercorn_mends import mend_hypercorn

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 75
SPARE_SECONDS = 5
"""What Hypercorn waits beyond our own grace, which has done everything by then, also where the
machine holds it up for seconds: nobody waits for it otherwise."""


def serve(settings: Settings) -> None:
    """Serve until a signal; returns when the last answer has had its ending.

    Errors: ConfigError for an address, a certificate or a setting that cannot be used.
    """
    mend_hypercorn()
    bound_hypercorn(settings.receive_timeout_s)
    config = _hypercorn_config(settings)
    app = build_app(settings)
    if settings.http3:
        _mend_http3(settings, app.extensions[DRAIN])
    with bind_listener(settings) as listener:
        url = _url(settings, listener)
        if settings.http3:
            quic = bind_quic(settings.host, listener.getsockname()[1])
            config.quic_bind = [f"fd://{quic.detach()}"]
        listener.listen(BACKLOG)
        config.bind = [f"fd://{listener.detach()}"]  # Hypercorn's from here on
    trio.run(_run, settings, app, config, url)


async def _run(settings: Settings, app: JarvisApp, config: Config, url: str) -> None:
    drain: Drain = app.extensions[DRAIN]
    run_app = partial(serve_app, app, config, shutdown_trigger=drain.begun.wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_signals, drain)
        async with trio.open_nursery() as serving:
            await serving.start(run_app)
            with suppress(OSError):  # it serves also where nobody can be told
                # In one piece, beside the log's lines.
                print(_ready_line(settings, url), end="", flush=True)  # noqa: T201
        nursery.cancel_scope.cancel(reason="the server has gone")


async def _watch_signals(drain: Drain) -> None:
    """Drain on the first signal, hurry on the second."""
    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup would have it ignored
        asked.append(signal.SIGHUP)
    with trio.open_signal_receiver(*asked) as signals:
        async for _ in signals:
            if drain.begun.is_set():
                drain.hurry()
            drain.begin()


def _hypercorn_config(settings: Settings) -> Config:
    config = Config()
    config.worker_class = "trio"
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.backlog = BACKLOG  # Hypercorn listens once more
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.graceful_timeout = settings.graceful_timeout_s + SPARE_SECONDS
    if settings.certfile is None and settings.keyfile is None:
        return config
    if settings.certfile is None or settings.keyfile is None:
        raise ConfigError("TLS needs both, JARVIS_CERTFILE and JARVIS_KEYFILE")
    config.certfile, config.keyfile = settings.certfile, settings.keyfile
    config.keyfile_password = ""  # a key that has one is refused, and nobody is asked for it
    try:
        config.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{settings.certfile} with {settings.keyfile} is no certificate to serve with: {error} "
            "(a key with a passphrase cannot be used)"
        ) from error
    return config


def _mend_http3(settings: Settings, drain: Drain) -> None:
    if settings.certfile is None or settings.keyfile is None:
        raise ConfigError("HTTP/3 needs TLS: set JARVIS_CERTFILE and JARVIS_KEYFILE")
    if settings.unix_socket is not None:
        raise ConfigError("HTTP/3 is spoken over UDP: JARVIS_HTTP3 does not go with a unix socket")
    if settings.reuse_port:
        # Each process that joins makes the kernel deal out the UDP port's clients anew.
        raise ConfigError(
            "HTTP/3 connections do not survive a shared port: JARVIS_HTTP3 does not go with "
            "JARVIS_REUSE_PORT"
        )
    try:
        from jarvis_trio.web import hypercorn_http3_mends as http3  # noqa: PLC0415 - an extra
        from jarvis_trio.web.quic_connections import Patience  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise ConfigError("HTTP/3 needs aioquic: pip install 'jarvis-trio[h3]'") from error
    try:
        quic = http3.quic_configuration(
            settings.certfile, settings.keyfile, settings.write_stall_timeout_s
        )
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{settings.certfile} with {settings.keyfile} cannot be used for HTTP/3: {error}"
        ) from error
    patience = Patience(settings.receive_timeout_s, KEEP_ALIVE_SECONDS)
    http3.mend_hypercorn_http3(quic, patience, drain.done.wait)


def _url(settings: Settings, listener: socket.socket) -> str:
    if settings.unix_socket is not None:
        return f"unix:{settings.unix_socket}"
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.certfile is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _ready_line(settings: Settings, url: str) -> str:
    lines = [f"jarvis_trio ready on {url} - Ctrl-C stops it"]
    if settings.http3:
        lines.append("  HTTP/3 is on, over UDP on the same port")
    if settings.reuse_port:
        lines.append("  each process on this port has sessions of its own")
    if settings.unix_socket is None:
        near = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        key = "devkey" if not settings.api_keys and not settings.admin_keys else "YOUR-KEY"
        lines += [
            f"  curl -N {near}/v1/chat/completions -H 'Authorization: Bearer {key}' \\",
            "    -H 'Content-Type: application/json' "
            """-d '{"prompt":"What is 2+2?","stream":true}'""",
        ]
    return "".join(f"{line}\n" for line in lines)
