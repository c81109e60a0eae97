"""What Hypercorn 0.18's trio worker does to its connections, mended where it has no public place.

1. It waits, after the end of what a client sends, for the connection's own idle timer: every client
   that closes a kept connection leaves a descriptor behind for ``keep_alive_timeout``. A few
   hundred short-lived clients a second exhaust the process that way.
2. Over HTTP/2 it takes in a whole answer for a stream whose client gives it no window: each attempt
   to send nothing counts as room. So such a client costs memory, and nothing is ever held back.

Each mend wraps the method at fault, and a test over real sockets says when it is needed no longer.
"""

from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, StreamBuffer
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import TrioSingleTask

_read_to_the_end = TCPServer._read_data  # noqa: SLF001 - see above
_push = StreamBuffer.push


class _NoTimer(TrioSingleTask):
    """What a connection has instead of an idle timer once its client has gone."""

    async def restart(self, *_: object) -> None:
        """Start nothing: an answer that ends now must not start the timer anew."""


async def _read_and_stop_the_idle_timer(self: TCPServer) -> None:
    await _read_to_the_end(self)
    timer, self.idle_task = self.idle_task, _NoTimer()
    await timer.stop()


async def _push_and_wait_for_room(self: StreamBuffer, data: bytes) -> None:
    await _push(self, data)
    while len(self.buffer) >= BUFFER_HIGH_WATER:
        await self._paused.clear()
        await self._paused.wait()


def mend_hypercorn() -> None:
    """Replace the methods in this process; idempotent."""
    TCPServer._read_data = _read_and_stop_the_idle_timer  # type: ignore[method-assign]  # noqa: SLF001
    StreamBuffer.push = _push_and_wait_for_room  # type: ignore[method-assign]
