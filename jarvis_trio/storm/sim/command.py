"""The sim as a process: says where it is, and goes when it is told to."""

import signal

import click
import trio

from jarvis_trio.storm.open_files import allow_many_connections
from jarvis_trio.storm.sim.door import listen
from jarvis_trio.storm.sim.scenarios import SimOptions
from jarvis_trio.storm.sim.server import serve_listener


def run_sim(options: SimOptions, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; print one line, with the address, once it accepts.

    *Errors:* `ConfigError` when the port cannot be had.
    """
    allow_many_connections()
    trio.run(_run, options, host, port)


async def _run(options: SimOptions, host: str, port: int) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        listener, taken = listen(host, port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_listener, options, listener)
            name = f"[{host}]" if ":" in host else host
            click.echo(f"sim ready on http://{name}:{taken}")
            async for number in signals:
                nursery.cancel_scope.cancel(reason=signal.Signals(number).name)
                break
