"""The command line: one group, one function per command.

What a command needs is imported inside it, so that ``--help`` and the others stay quick.
"""

from typing import Any

import click

from jarvis_trio import __version__
from jarvis_trio.errors import ConfigError

_SIM_HELP = """\
Run a mock model server that speaks Ollama's and OpenAI's API on one port.

It prints one line, "sim ready on http://HOST:PORT", once it accepts; SIGTERM or Ctrl-C ends it.
Point a server at it:

\b
  JARVIS_UPSTREAM=ollama:http://127.0.0.1:PORT
  JARVIS_UPSTREAM=openai:http://127.0.0.1:PORT/v1

The name of the model decides what its answer does:

\b
  sim               a good answer: w0 w1 w2 ...
  sim-hang          takes the request, never answers
  sim-silent        headers, then silence
  sim-stall         tokens up to AT, then silence
  sim-die           resets the connection after byte AT of the body
  sim-eof           closes cleanly after token AT, without the API's end marker
  sim-truncate      closes inside a chunk after token AT
  sim-error         an error in mid-stream after token AT, in each API's way
  sim-garbage       after token AT, a body that is neither JSON nor events
  sim-refuse        an error before the first byte: STATUS 400 401 404 429 500 503
  sim-endless-line  after token AT, a line that does not end (64 MB)

A name may carry keys, as in "sim-stall?at=3&tps=20": tps, headers_ms, first_ms, tokens and
jitter_ms stand in for the options of this command; at (default: half of the tokens; 500 for
sim-die; 0 for sim-garbage and sim-endless-line) and status (default: 503) are explained above;
close=1 closes the connection behind the answer; named=1 puts the prompt's marker behind each token.

A gateway that knows its models by a list passes no such names on. Have it ask for any of them, and
tell the sim what to do instead, by the prompt's marker or for all:

\b
  curl http://127.0.0.1:PORT/sim/script -d '{"model": "sim-die?at=300"}'
  curl http://127.0.0.1:PORT/sim/script -d '{"model": "sim-hang", "marker": "NAME"}'

To put a gateway before it:

\b
  LiteLLM    model: openai/sim, api_base: http://127.0.0.1:PORT/v1, api_key: none
             model: ollama_chat/sim, api_base: http://127.0.0.1:PORT
  nginx      location / { proxy_pass http://127.0.0.1:PORT; proxy_buffering off; }
  Open WebUI OPENAI_API_BASE_URL=http://127.0.0.1:PORT/v1

\b
What happened and when (CLOCK_MONOTONIC, ns); "marker:NAME" in a prompt names its request:
  GET  /sim/events   arrival, first_byte and finished, closed or faulted, in order
  GET  /sim/stats    open, max_open, requests, completed, aborted, faulted, tokens, by_marker
  GET  /sim/counts   the same without by_marker
  GET  /sim/wait     ?marker=NAME&kind=KIND answers when that has happened
  POST /sim/reset    forgets, the script too
"""
"""\\b is click's mark for "do not re-wrap"."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="jarvis-trio")
def main() -> None:
    """Run, watch and test the streaming chat server that its users cannot hang."""


_SERVE_HELP = """\
Serve the OpenAI-compatible API.

Every option is a setting too, and every other setting is a JARVIS_* variable or a line in
jarvis.toml; the README lists them. The first SIGTERM or Ctrl-C lets answers come to their end for
JARVIS_GRACEFUL_TIMEOUT_S, the second ends them at once.

This is one process. With --reuse-port several share a port, and each has sessions of its own: a
client must come back to the same process to find its session.
"""


@main.command("serve", help=_SERVE_HELP)
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


@main.command(help=_SIM_HELP)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any free one",
    help="Port to listen on.",
)
@click.option(
    "--tokens-per-second",
    type=click.FloatRange(min=0),
    default=50.0,
    show_default=True,
    help="Speed of each answer; 0 is as fast as possible.",
)
@click.option(
    "--headers-ms",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="From the request to the headers, in milliseconds.",
)
@click.option(
    "--first-token-ms",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="From the headers to the first token, in milliseconds.",
)
@click.option(
    "--tokens",
    type=click.IntRange(0, 1_000_000),
    default=100,
    show_default=True,
    help="Length of an answer; max_tokens and num_predict shorten it.",
)
@click.option(
    "--jitter-ms",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="How much later than due a token may come, in milliseconds.",
)
def sim(host: str, port: int, **options: Any) -> None:
    """Run the mock model server; `_SIM_HELP` is what users read."""
    from jarvis_trio.storm.sim.command import run_sim  # noqa: PLC0415 - imported when it is run
    from jarvis_trio.storm.sim.scenarios import SimOptions  # noqa: PLC0415 - the same

    try:
        run_sim(SimOptions(**options), host, port)
    except ConfigError as error:
        raise click.ClickException(error.message) from error
