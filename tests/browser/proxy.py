"""A way to a server that the test can cut, freeze and narrow, as the network does.

The browser's own "offline" does not cut an open stream, so that it is no substitute.
"""

from functools import partial

import trio

from tests.browser.backstage import Backstage
from tests.providers.raw_server import RawPeer

SLICE_BYTES = 64


class Proxy:
    """Passes on what comes, both ways, until told otherwise by the test's thread."""

    def __init__(self, backstage: Backstage, url: str) -> None:
        self._backstage = backstage
        self._target = int(url.rpartition(":")[2])
        self._open: dict[RawPeer, trio.CancelScope] = {}
        self._is_cut = False
        self._bytes_per_second: float | None = None
        self._flows = trio.Event()
        self._flows.set()
        self.port: int = backstage.start(self.run)
        self.url = f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset what is open, on both sides, and what comes, until it is mended."""
        self._backstage.do(self._cut)

    def mend(self) -> None:
        self._backstage.do(partial(setattr, self, "_is_cut", False))

    def freeze(self) -> None:
        """Pass nothing on, and say nothing of it."""
        self._backstage.do(partial(setattr, self, "_flows", trio.Event()))

    def thaw(self) -> None:
        self._backstage.do(self._flows.set)

    def narrow(self, bytes_per_second: float) -> None:
        """Pass on no more than this, to each side of each connection."""
        self._backstage.do(partial(setattr, self, "_bytes_per_second", bytes_per_second))

    def _cut(self) -> None:
        self._is_cut = True
        for scope in self._open.values():
            scope.cancel(reason="the network is cut")

    async def run(self, *, task_status: trio.TaskStatus[int]) -> None:
        """Serve until cancelled; the status is the port."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listener.socket.getsockname()[1])
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._connect, [listener], handler_nursery=nursery)

    async def _connect(self, tcp: trio.SocketStream) -> None:
        client = RawPeer(tcp, None)
        if self._is_cut:
            client.reset()
            return
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self._target) as stream:
                await self._pass_on(client, RawPeer(stream, None))
        except OSError:  # the server is not there
            client.reset()

    async def _pass_on(self, client: RawPeer, server: RawPeer) -> None:
        async with trio.open_nursery() as nursery:
            self._open[client] = nursery.cancel_scope
            nursery.start_soon(self._pump, client.tcp, server.tcp, nursery.cancel_scope)
            nursery.start_soon(self._pump, server.tcp, client.tcp, nursery.cancel_scope)
        del self._open[client]
        if self._is_cut:
            client.reset()
            server.reset()
        else:
            client.tcp.socket.close()

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                await self._flows.wait()
                await self._send(sink, bytes(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        both.cancel(reason="one side has closed")

    async def _send(self, sink: trio.SocketStream, data: bytes) -> None:
        while self._bytes_per_second and data:
            await trio.sleep(SLICE_BYTES / self._bytes_per_second)
            piece, data = data[:SLICE_BYTES], data[SLICE_BYTES:]
            await sink.send_all(piece)
        await sink.send_all(data)
