"""Whatever status the model server refuses with, the client is told to change its request."""

from jarvis_trio.errors import JarvisError, UpstreamRejectedError
from jarvis_trio.providers.http_body import ResponseBody
from jarvis_trio.providers.upstream import Upstream


def break_it() -> None:
    Upstream._refusal = _reject  # type: ignore[method-assign]


def _reject(
    self: Upstream, body: ResponseBody, said: str, path: str, model: str | None
) -> JarvisError:
    return UpstreamRejectedError("the model server rejected the request", said=said)
