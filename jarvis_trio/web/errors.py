"""Every error as ``{"error": {message, type, param, code}}``, whatever raised it.

The handlers are async because Quart runs any other in a thread: a refusal must not wait for one.
"""

import math

import structlog
from quart import Response
from werkzeug.exceptions import HTTPException, InternalServerError

from jarvis_trio.errors import (
    BodyTooLargeError,
    JarvisError,
    MethodNotAllowedError,
    NotFoundError,
    RequestError,
)
from jarvis_trio.wire.openai.frames import encode_error

log = structlog.get_logger("jarvis_trio")


async def respond(error: JarvisError) -> Response:
    """Return the response that tells a client of ``error``."""
    # Its frames hold the request and the stream, which may hold the error: a cycle of megabytes.
    error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    return response_to(error)


async def respond_to_quart(error: HTTPException) -> Response:
    """Return Quart's own refusals (no such route, body too large …) in our shape."""
    if isinstance(error, InternalServerError):  # something failed outside of the views
        return await respond_to_fault(error.original_exception or error)
    if error.response is not None and not error.code:
        return Response(b"", status=error.response.status_code)
    response = response_to(_ours(error))
    if error.code == 405:
        response.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or ())
    return response


async def respond_to_fault(error: BaseException) -> Response:
    """Return what a client is told about a fault of our own, which the log tells in full."""
    log.error("request_failed", exc_info=error)
    return response_to(JarvisError("the server failed; its log says why"))


def response_to(error: JarvisError) -> Response:
    """Return ``error`` as a response: its status, its shape, and what it says about retrying."""
    response = Response(encode_error(error), status=error.status, content_type="application/json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.should_retry is not None:
        response.headers["X-Should-Retry"] = "true" if error.should_retry else "false"
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _ours(error: HTTPException) -> JarvisError:
    match error.code:
        case 404:
            return NotFoundError("there is nothing at this address")
        case 405:
            return MethodNotAllowedError("this address does not take this method")
        case 413:
            return BodyTooLargeError(
                "the request body is too large; JARVIS_MAX_BODY_BYTES sets the limit"
            )
        case _:
            return RequestError(error.description or error.name)
