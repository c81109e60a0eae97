"""A gateway before the mock upstream, of which a test says what it does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

Treat = Callable[[bytes, trio.SocketStream], Awaitable[bool]]
"""Is given what a client has sent, and the client; says whether to pass it on."""


async def as_it_comes(data: bytes) -> None:
    """Delay nothing."""


@asynccontextmanager
async def gateway(
    upstream_port: int,
    treat: Treat,
    before_passing_back: Callable[[bytes], Awaitable[None]] = as_it_comes,
) -> AsyncIterator[int]:
    """Run it inside the block; its port."""

    async def serve(client: trio.SocketStream) -> None:
        upstream = await trio.open_tcp_stream("127.0.0.1", upstream_port)
        async with upstream, trio.open_nursery() as passing:
            passing.start_soon(pass_back, upstream, client, passing.cancel_scope)
            try:
                async for data in client:
                    if await treat(bytes(data), client):
                        await upstream.send_all(data)
            except trio.BrokenResourceError:
                pass  # the client has gone, by a reset
            passing.cancel_scope.cancel(reason="the client has gone")

    async def pass_back(
        upstream: trio.SocketStream, client: trio.SocketStream, passing: trio.CancelScope
    ) -> None:
        try:
            async for data in upstream:
                await before_passing_back(bytes(data))
                await client.send_all(data)
        except trio.BrokenResourceError:
            pass  # either has gone, by a reset
        passing.cancel(reason="the model server has closed")

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])  # noqa: ASYNC113 - it listens
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel(reason="the test is over")
