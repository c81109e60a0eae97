"""Lets go of a connection when its client has gone, instead of when it would have been idle.

Hypercorn 0.18's trio worker waits, after the end of what a client sends, for the connection's own
idle timer: every client that closes a kept connection leaves a descriptor behind for
``keep_alive_timeout``. A few hundred short-lived clients a second exhaust the process that way.
There is no public place to mend this, hence the one replaced method; a test over real sockets
says when it is no longer needed.
"""

from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import TrioSingleTask

_read_to_the_end = TCPServer._read_data  # noqa: SLF001 - see above


class _NoTimer(TrioSingleTask):
    """What a connection has instead of an idle timer once its client has gone."""

    async def restart(self, *_: object) -> None:
        """Start nothing: an answer that ends now must not start the timer anew."""


async def _read_and_stop_the_idle_timer(self: TCPServer) -> None:
    await _read_to_the_end(self)
    timer, self.idle_task = self.idle_task, _NoTimer()
    await timer.stop()


def mend_hypercorn() -> None:
    """Replace the method in this process; idempotent."""
    TCPServer._read_data = _read_and_stop_the_idle_timer  # type: ignore[method-assign]  # noqa: SLF001
