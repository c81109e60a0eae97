"""``jarvis-trio serve``: the server."""

import click

from jarvis_trio.errors import ConfigError

_SERVE_HELP = """\
Serve the OpenAI-compatible API.

Every option is a setting too, and every other setting is a JARVIS_* variable or a line in
jarvis.toml; the README lists them. The first SIGTERM or Ctrl-C lets answers come to their end for
JARVIS_GRACEFUL_TIMEOUT_S, the second ends them at once.

This is one process. With --reuse-port several share a port, and each has sessions of its own: a
client must come back to the same process to find its session.
"""


@click.command("serve", help=_SERVE_HELP)
@click.option("--host", help="Address to listen on.  [JARVIS_HOST, 127.0.0.1]")
@click.option("--port", help="Port to listen on; 0 for any free one.  [JARVIS_PORT, 8000]")
@click.option("--unix-socket", help="Path to listen on instead.  [JARVIS_UNIX_SOCKET]")
@click.option("--certfile", help="Certificate chain, for TLS and HTTP/2.  [JARVIS_CERTFILE]")
@click.option("--keyfile", help="Its private key.  [JARVIS_KEYFILE]")
@click.option(
    "--reuse-port", is_flag=True, default=None, help="Share the port.  [JARVIS_REUSE_PORT]"
)
@click.option("--http3", is_flag=True, default=None, help="HTTP/3 too, over UDP.  [JARVIS_HTTP3]")
@click.option("--upstream", help="The model server.  [JARVIS_UPSTREAM, auto]")
def serve_command(**options: str | bool | None) -> None:
    """Serve; `_SERVE_HELP` is what users read."""
    import os  # noqa: PLC0415 - imported when it is run

    from jarvis_trio.config import PREFIX, load_settings  # noqa: PLC0415 - the same
    from jarvis_trio.serve import serve  # noqa: PLC0415 - the same

    given = {
        f"{PREFIX}{name.upper()}": str(value)
        for name, value in options.items()
        if value is not None
    }
    try:
        serve(load_settings({**os.environ, **given}))
    except ConfigError as error:
        raise click.ClickException(error.message) from error
