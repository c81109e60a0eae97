"""``jarvis-trio chat``: talking to the server from a terminal."""

import click

from jarvis_trio.errors import ConfigError

_CHAT_HELP = """\
Talk to the server from a terminal.

Answers appear as they are written. A line that is typed meanwhile supersedes the answer (or does
what /policy says), Ctrl-C stops it, and the session goes on; Ctrl-D leaves. /help lists the rest.

Where stdin or stdout is no terminal, each line is a prompt, which waits for the answer to the last:

\b
  echo "What is 2+2?" | jarvis-trio chat

\b
Exit status:
  0    all was answered, or it was left by Ctrl-D or /quit
  1    not at a terminal: a prompt was not answered, or not to its end
  2    a wrong option
  129, 130, 141, 143  the terminal was closed, Ctrl-C, nobody reads stdout, SIGTERM
"""


class _WrongOptionError(click.ClickException):
    exit_code = 2


@click.command("chat", help=_CHAT_HELP)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The server.")
@click.option(
    "--key", envvar="JARVIS_API_KEY", show_envvar=True, show_default="devkey", help="Its API key."
)
@click.option("--session", metavar="NAME", help="The session to continue, or begin.  [a new one]")
@click.option("--model", show_default="the server's first", help="The model to ask for.")
@click.option(
    "--policy",
    type=click.Choice(["interrupt", "rollback", "enqueue", "reject"]),
    show_default="the server's own",
    help="What a new line does to the answer being written.",
)
def chat_command(
    url: str, key: str | None, session: str | None, model: str | None, policy: str | None
) -> None:
    """Chat; `_CHAT_HELP` is what users read."""
    try:
        from jarvis_trio.chat.command import Order, run_command  # noqa: PLC0415 - when it is run

        raise SystemExit(run_command(Order(url, key or "devkey", session, model, policy)))
    except ConfigError as error:
        raise _WrongOptionError(error.message) from error
    except KeyboardInterrupt:  # while it is imported
        raise SystemExit(130) from None
