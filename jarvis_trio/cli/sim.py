"""``jarvis-trio sim``: the mock model server."""

from typing import Any

import click

from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.durations import number

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


@click.command("sim", help=_SIM_HELP)
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
def sim_command(host: str, port: int, **options: Any) -> None:
    """Run the mock model server; `_SIM_HELP` is what users read."""
    from jarvis_trio.storm.sim.command import run_sim  # noqa: PLC0415 - imported when it is run
    from jarvis_trio.storm.sim.scenarios import SimOptions  # noqa: PLC0415 - the same

    try:
        run_sim(SimOptions(**options), host, port)
    except ConfigError as error:
        raise click.ClickException(error.message) from error
