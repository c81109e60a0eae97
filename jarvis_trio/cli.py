"""The command line: one group, one function per command.

What a command needs is imported inside it, so that ``--help`` and the others stay quick.
"""

from typing import Any

import click

from jarvis_trio import __version__
from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.durations import duration, number, patience

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
  POST /sim/reset    forgets, the script too; with ?end=1 it ends every answer first
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
    type=number,
    default=50.0,
    show_default=True,
    help="Speed of each answer; 0 is as fast as possible.",
)
@click.option(
    "--headers-ms",
    type=number,
    default=0.0,
    show_default=True,
    help="From the request to the headers, in milliseconds.",
)
@click.option(
    "--first-token-ms",
    type=number,
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
    type=number,
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


_STORM_HELP = """\
See whether a streaming server survives its users.

It is pointed at any server with OpenAI's chat API, and does what people do to one: type the next
prompt before the last answer has ended, press Stop, close the laptop, read slowly or not at all.
With a mock model server behind the server (--sim), it also sees whether each departure reaches
the model. It reports what it saw, with numbers, and leaves with a status that a build can use.

A first try, on our own server; each line in a terminal of its own:

\b
  jarvis-trio sim --port 9999
  jarvis-trio serve --upstream openai:http://127.0.0.1:9999/v1
  jarvis-trio storm --url http://127.0.0.1:8000 --key devkey --sim http://127.0.0.1:9999

Another server is told that the sim is its model server, under whichever name it calls that
(api_base, upstream, proxy_pass): http://127.0.0.1:9999/v1 speaks OpenAI's API,
http://127.0.0.1:9999 Ollama's. Any key will do. A gateway that knows models by a list needs one
only, "sim"; the storm takes the first that the server lists, or --model. The sim must run on this
machine, since times are compared, and must serve nobody else meanwhile.

Without --sim, a scenario judges what a client sees, or says that it is not applicable. So it does
with a server that has no sessions (none that sends X-Session-Id back): there the storm's clients
leave, as people's do. Nothing is judged by how fast it is: latencies are told, and what a correct
server does is given --patience.

\b
Exit status:
  0    every scenario passed, or is not applicable
  1    at least one failed
  2    it could not be played: a wrong URL, key or option; a sentence on stderr says which
  130  Ctrl-C (143: SIGTERM); what was played is told on stderr, and no file is written
"""


class _CannotPlayError(click.ClickException):
    exit_code = 2


class _StormCommand(click.Command):
    """Tells the scenarios below its options; they are imported only for that."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        from jarvis_trio.storm.scenarios.all import ALL  # noqa: PLC0415 - imported when it is run

        with formatter.section("Scenarios, in the order of playing"):
            formatter.write_dl([(scenario.name, scenario.promise) for scenario in ALL])


def _list_scenarios(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if not is_wanted or context.resilient_parsing:
        return
    from jarvis_trio.storm.scenarios.all import ALL  # noqa: PLC0415 - imported when it is run

    for scenario in ALL:
        click.echo(f"{scenario.name}: {scenario.promise}")
    context.exit()


@main.command("storm", cls=_StormCommand, help=_STORM_HELP)
@click.option("--url", required=True, help="The server, such as http://127.0.0.1:8000 (/v1).")
@click.option("--sim", metavar="URL", help="The jarvis-trio sim that is its model server.")
@click.option("--key", envvar="OPENAI_API_KEY", show_envvar=True, help="Its API key.")
@click.option("--model", show_default="the first it lists", help="The model to ask for.")
@click.option(
    "--scenario", metavar="NAME", multiple=True, help="Play this one; may be repeated.  [all]"
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_scenarios,
    help="List the scenarios, and exit.",
)
@click.option(
    "--sessions",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many users there are at once.",
)
@click.option(
    "--prompts",
    type=click.IntRange(2, 10_000),
    default=10,
    show_default=True,
    help="How many prompts follow each other.",
)
@click.option(
    "--gap", type=duration, default="50ms", show_default=True, help="From prompt to prompt."
)
@click.option("--seed", type=int, default=0, show_default=True, help="What chance is made from.")
@click.option(
    "--patience",
    metavar="DURATION",
    type=patience,
    default="10s",
    show_default=True,
    help="What any one thing that a correct server does may take.",
)
@click.option(
    "--soak", type=duration, default="20s", show_default=True, help="How long the soak takes."
)
@click.option(
    "--grace",
    type=duration,
    default="10s",
    show_default=True,
    help="How long the server lets answers run on when it is told to stop.",
)
@click.option(
    "--pid", type=click.IntRange(min=1), help="The server's process, if it may be shut down."
)
@click.option("--insecure", is_flag=True, help="Accept any TLS certificate.")
@click.option("--json", metavar="FILE", help="Write a report for programs.  [- for stdout]")
@click.option("--junit", metavar="FILE", help="Write one for build servers, as JUnit's XML.")
@click.option("--html", metavar="FILE", help="Write one for people, with a picture in time.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def storm_command(**options: Any) -> None:
    """Play the storm; `_STORM_HELP` is what users read."""
    try:
        from jarvis_trio.storm.command import Order, run_command  # noqa: PLC0415 - when it is run

        raise SystemExit(run_command(Order(**options)))
    except ConfigError as error:
        raise _CannotPlayError(error.message) from error
    except KeyboardInterrupt:  # while it is imported, or behind the storm
        raise SystemExit(130) from None
