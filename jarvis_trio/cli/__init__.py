"""The command line: one group, one module per command.

What a command needs is imported inside it, so that ``--help`` and the others stay quick.
"""

import click

from jarvis_trio import __version__
from jarvis_trio.cli.chat import chat_command
from jarvis_trio.cli.serve import serve_command
from jarvis_trio.cli.sim import sim_command
from jarvis_trio.cli.storm import storm_command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="jarvis-trio")
def main() -> None:
    """Run, watch and test the streaming chat server that its users cannot hang."""


for _command in (serve_command, chat_command, sim_command, storm_command):
    main.add_command(_command)
