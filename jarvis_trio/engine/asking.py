"""Asks the upstream until it accepts, where asking again is safe and may help.

It is while nothing of the answer has come: the upstream was not there, or said so with a 502 or a
503. Every attempt is made inside the stream's scope, so none begins after its client has gone.
"""

from contextlib import AsyncExitStack

import trio

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import UpstreamDownError
from jarvis_trio.events import ChatRequest
from jarvis_trio.providers.base import Answer, Provider

RETRY_DELAY_SECONDS = 0.25
"""Before the first retry; each further one waits twice as long, up to the longest."""

LONGEST_DELAY_SECONDS = 0.5
"""An upstream that asks for more patience than this has its refusal passed on to the client, while
that can still be a status: after a second the headers are committed."""


async def ask(
    stream: LiveStream,
    request: ChatRequest,
    provider: Provider,
    retries: int,
    connection: AsyncExitStack,
) -> Answer:
    """Return the answer that the upstream has accepted to give to ``stream``'s ``request``.

    *Resources:* what was opened for it belongs to ``connection``; failed attempts leave nothing
    there. *Errors:* the provider's, of the last attempt.
    """
    delay = RETRY_DELAY_SECONDS
    for attempt in range(1, retries + 1):
        try:
            return await connection.enter_async_context(provider.chat(request))
        except UpstreamDownError as error:
            wait = max(delay, error.retry_after or 0)
            if wait > LONGEST_DELAY_SECONDS:
                raise
            stream.log.warning("upstream_retry", attempt=attempt, error=error.summary)
        await trio.sleep(wait)
        stream.retries += 1
        delay = min(2 * delay, LONGEST_DELAY_SECONDS)
    return await connection.enter_async_context(provider.chat(request))
