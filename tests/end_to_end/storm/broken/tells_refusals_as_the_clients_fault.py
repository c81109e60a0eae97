"""Whatever status the model server refuses with, the client is told to change its request."""

import httpx

from jarvis_trio.errors import JarvisError, UpstreamRejectedError
from jarvis_trio.providers.upstream import Upstream


def break_it() -> None:
    Upstream._refusal = _reject  # type: ignore[method-assign]


def _reject(self: Upstream, response: httpx.Response, said: str, model: str | None) -> JarvisError:
    return UpstreamRejectedError("the model server rejected the request", said=said)
