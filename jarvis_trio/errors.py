"""The one error tree. Every error knows its HTTP status, its code and OpenAI's error type.

::

    JarvisError
    ├─ ConfigError                    a setting is misspelt or unusable (never reaches a client)
    ├─ WireError                      bytes that break a format we read
    ├─ RequestError              400  the client must change the request
    │  ├─ AuthenticationError    401
    │  ├─ PermissionDeniedError  403
    │  ├─ HostNotAllowedError    403
    │  ├─ NotFoundError          404
    │  │  └─ ModelNotFoundError  404
    │  ├─ MethodNotAllowedError  405
    │  ├─ RequestTimeoutError    408
    │  ├─ StreamGoneError        410
    │  ├─ BodyTooLargeError      413
    │  └─ MediaTypeError         415
    ├─ StreamEndedError          409  the answer was ended on purpose; must not be retried
    │  ├─ SupersededError        409
    │  └─ StoppedError           409
    ├─ NotCurrentError           409  a stop names another stream than the live one
    ├─ SessionBusyError          409  another prompt is being answered; must not be retried
    ├─ UnavailableError          503  try again later
    │  ├─ OverloadedError        503
    │  ├─ QueueFullError         429
    │  ├─ StoreUnavailableError  503
    │  └─ ServerShutdownError    503
    └─ UpstreamError             502  the model server failed
       ├─ UpstreamRejectedError  400
       ├─ UpstreamRateLimitError 429
       ├─ UpstreamDownError      502
       │  └─ UpstreamBusyError   503
       ├─ UpstreamEOFError       502
       └─ UpstreamTimeoutError   504
"""

from typing import ClassVar


class JarvisError(Exception):
    """An error whose message may be shown to a client.

    ``retry_after`` is in seconds; ``should_retry`` (when not None) is sent as ``x-should-retry``,
    which OpenAI's client libraries obey. ``summary`` is what may be logged: the message without
    anything that might quote a prompt.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    type: ClassVar[str] = "server_error"
    should_retry: ClassVar[bool | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.summary = message
        self.code = code or self.code
        self.param = param
        self.retry_after = retry_after


class ConfigError(JarvisError):
    """A setting is misspelt or unusable; the message names it and what would do."""

    code = "config_error"


class WireError(JarvisError):
    """Bytes that break a format we read."""

    code = "malformed"


class RequestError(JarvisError):
    """The client must change its request; ``param`` names the field at fault."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class AuthenticationError(RequestError):
    """No key, or one that is not known."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class PermissionDeniedError(RequestError):
    """The key is known, but may not do this."""

    status = 403
    code = "permission_denied"
    type = "permission_error"


class HostNotAllowedError(RequestError):
    """The Host header names a server that we are not (DNS rebinding)."""

    status = 403
    code = "host_not_allowed"
    type = "permission_error"


class NotFoundError(RequestError):
    """Nothing is at this address, for this key."""

    status = 404
    code = "not_found"
    type = "not_found_error"


class ModelNotFoundError(NotFoundError):
    """No upstream has this model, into whose name people paste all sorts of things."""

    code = "model_not_found"
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.summary = "there is no such model"


class MethodNotAllowedError(RequestError):
    """The address exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class RequestTimeoutError(RequestError):
    """The client did not finish sending its request in time."""

    status = 408
    code = "request_timeout"


class StreamGoneError(RequestError):
    """What is wanted of this answer was here, and is no longer held."""

    status = 410
    code = "stream_gone"
    type = "not_found_error"


class BodyTooLargeError(RequestError):
    """The request body is larger than ``max_body_bytes``."""

    status = 413
    code = "body_too_large"


class MediaTypeError(RequestError):
    """The request body is not JSON."""

    status = 415
    code = "unsupported_media_type"


class StreamEndedError(JarvisError):
    """The answer was ended on purpose; a client library must not send the prompt again."""

    status = 409
    type = "invalid_request_error"
    should_retry = False


class SupersededError(StreamEndedError):
    """A newer prompt took the session over."""

    code = "superseded"

    def __init__(self, superseded_by: str) -> None:
        super().__init__("a newer prompt in this session took over")
        self.superseded_by = superseded_by


class StoppedError(StreamEndedError):
    """Somebody pressed Stop."""

    code = "stopped"


class NotCurrentError(JarvisError):
    """A stop names a stream that its session is not answering with; nothing was stopped."""

    status = 409
    code = "not_current"
    type = "invalid_request_error"
    should_retry: ClassVar[bool | None] = False


class SessionBusyError(JarvisError):
    """The session's answer goes on; the prompt that asked to be rejected then was."""

    status = 409
    code = "session_busy"
    type = "invalid_request_error"
    should_retry: ClassVar[bool | None] = False


class UnavailableError(JarvisError):
    """Not now: the same request may succeed later."""

    status = 503
    code = "unavailable"
    type = "unavailable_error"


class OverloadedError(UnavailableError):
    """As many streams are live as the server admits."""

    code = "overloaded"


class QueueFullError(UnavailableError):
    """As many prompts wait, for the model server or in their session, as ``max_queue`` lets."""

    status = 429
    code = "queue_full"
    type = "rate_limit_error"


class StoreUnavailableError(UnavailableError):
    """What keeps the conversations cannot be reached, or is too slow; answers go on without."""

    code = "history_unavailable"


class ServerShutdownError(UnavailableError):
    """The server is going down; another one may answer."""

    code = "server_shutdown"


class UpstreamError(JarvisError):
    """The model server failed or refused us; the message names it.

    ``said`` is the upstream's own text. Clients see it; logs do not, as it may quote the prompt.
    """

    status = 502
    code = "upstream_error"

    def __init__(self, message: str, *, said: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{message}: {said}" if said else message, retry_after=retry_after)
        self.summary = message


class UpstreamRejectedError(UpstreamError):
    """The model server found fault with the request (a context too long, a bad tool)."""

    status = 400
    code = "upstream_rejected"
    type = "invalid_request_error"


class UpstreamRateLimitError(UpstreamError):
    """The model server limits our rate."""

    status = 429
    code = "upstream_rate_limited"
    type = "rate_limit_error"


class UpstreamDownError(UpstreamError):
    """The model server did not take the request on; asking again soon may help, and is safe."""


class UpstreamBusyError(UpstreamDownError):
    """The model server is there but not ready (loading a model, out of slots)."""

    status = 503
    code = "upstream_busy"
    type = "unavailable_error"


class UpstreamEOFError(UpstreamError):
    """The model server closed before its own end marker."""

    code = "upstream_eof"


class UpstreamTimeoutError(UpstreamError):
    """The model server did not answer in time; the message names the phase."""

    status = 504
    code = "upstream_timeout"
