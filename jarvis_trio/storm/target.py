"""The server that the storm is pointed at."""

import ssl
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from jarvis_trio.errors import ConfigError

DEFAULT_PATH: Final = "/v1"


class Target(Struct, frozen=True):
    """Where a server is, and what opens it.

    ``path`` is what stands before ``/chat/completions``; ``trust`` None stands for the authorities
    that this machine trusts.
    """

    host: str
    port: int
    is_secure: bool = False
    path: str = DEFAULT_PATH
    key: str | None = None
    trust: ssl.SSLContext | None = None

    @property
    def authority(self) -> str:
        """The ``Host`` of a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """What people call it."""
        return f"{'https' if self.is_secure else 'http'}://{self.authority}"


def read_target(url: str, key: str | None = None) -> Target:
    """Read ``http://host:port``, with or without the ``/v1`` of the API.

    Errors: ConfigError, saying what to write instead.
    """
    no_address = ConfigError(f"{url!r} is no address of a server; write http://127.0.0.1:8000")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        raise no_address from None
    is_plain = parts.path.isascii() and parts.path.isprintable() and " " not in parts.path
    if "@" in parts.netloc:  # not repeated: it holds a password
        raise ConfigError("an address takes no user and no password here; a key goes to --key")
    is_more = "?" in url or "#" in url  # we would not send it
    if parts.scheme not in ("http", "https") or not host or port == 0 or not is_plain or is_more:
        raise no_address
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ConfigError("the key holds characters that no header can carry")
    is_secure = parts.scheme == "https"
    return Target(
        host=host,
        port=port or (443 if is_secure else 80),
        is_secure=is_secure,
        path=parts.path.rstrip("/") or DEFAULT_PATH,
        key=key,
    )
