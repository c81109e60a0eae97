"""The floor: an application that makes the tokens itself, under Hypercorn's trio worker.

``hypercorn -k trio tests.benchmarks.bench.floor:single`` writes each token alone, ``:fours`` four
at a time. What they cost is Hypercorn's, trio's and the kernel's part of all that is built on them.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any

import trio

from tests.benchmarks.bench.tokens import (
    MODELS,
    ROLE,
    TOKENS,
    TOKENS_PER_SECOND,
    Asked,
    asked,
    end,
)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def floor(scope: Message, receive: Receive, send: Send, *, tokens_a_write: int) -> None:
    """Answer a prompt with its tokens, in time, and anything else with a list of models."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    else:
        await _answer(receive, send, tokens_a_write)


async def _live(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def _answer(receive: Receive, send: Send, tokens_a_write: int) -> None:
    wanted = asked(await _body(receive))
    kind = b"text/event-stream" if wanted else b"application/json"
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if wanted is None:
        await send({"type": "http.response.body", "body": MODELS})
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_it_leaves, receive, nursery.cancel_scope)
        await _stream(wanted, send, tokens_a_write)
        nursery.cancel_scope.cancel(reason="the answer is whole")


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _cancel_when_it_leaves(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel(reason="the client has left")


async def _stream(wanted: Asked, send: Send, tokens_a_write: int) -> None:
    begun = trio.current_time() + wanted.first_ms / 1000
    await send({"type": "http.response.body", "body": ROLE, "more_body": True})
    bounds = [0, *range(1, wanted.tokens, tokens_a_write), wanted.tokens]
    for first, after in pairwise(bounds):
        await trio.sleep_until(begun + (after - 1) / TOKENS_PER_SECOND)
        events = [TOKENS[number % len(TOKENS)] for number in range(first, after)]
        await send({"type": "http.response.body", "body": b"".join(events), "more_body": True})
    await send({"type": "http.response.body", "body": end(wanted.tokens)})


single = partial(floor, tokens_a_write=1)
fours = partial(floor, tokens_a_write=4)
