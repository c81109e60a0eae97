"""What goes wrong on a connection, in httpx's words; the only place that translates."""

import httpx
import trio

FAILURES = (
    OSError,  # ssl.SSLError is one
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    UnicodeError,  # a host that cannot be a name
)


class UnreadableError(httpx.RemoteProtocolError):
    """Bytes that are not HTTP, or more of them than we take; nothing was broken off."""


class HttpxErrors:
    """A ``with`` statement that turns trio's and the kernel's errors into httpx's."""

    def __init__(
        self, timeout: type[httpx.TimeoutException], other: type[httpx.NetworkError]
    ) -> None:
        self._timeout = timeout
        self._other = other

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        if isinstance(error, trio.TooSlowError):
            raise self._timeout("timed out") from error
        if isinstance(error, FAILURES):
            cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else None
            raise self._other(str(cause or error) or type(error).__name__) from error


CONNECT_ERRORS = HttpxErrors(httpx.ConnectTimeout, httpx.ConnectError)
READ_ERRORS = HttpxErrors(httpx.ReadTimeout, httpx.ReadError)
