"""``jarvis-trio storm``: the harness."""

from typing import Any

import click

from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.durations import duration, patience

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


@click.command("storm", cls=_StormCommand, help=_STORM_HELP)
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
