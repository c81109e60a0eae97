"""Who gets in: keys, and host names that are ours."""

import hashlib
import hmac
import ipaddress
import re
from functools import lru_cache

from msgspec import Struct
from werkzeug.datastructures import Headers

from jarvis_trio.errors import AuthenticationError, HostNotAllowedError, PermissionDeniedError

DEFAULT_KEY = "devkey"
UNIX_SOCKET = "<local>"
"""What Quart calls the address of a client that has none."""

FORWARDING_HEADERS = frozenset(
    {"forwarded", "x-real-ip", "via", "cf-connecting-ip", "true-client-ip"}
)
FORWARDING_PREFIX = "x-forwarded-"

HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::\d*)?")
"""A Host header: an IPv6 address in brackets or a name, and perhaps a port."""


class Caller(Struct, frozen=True):
    """Who asks: the word for its key, and whether that is an administrator's."""

    owner: str
    is_admin: bool

    @property
    def sees(self) -> str | None:
        """Whose sessions there are for this one: its own, or, as None, everybody's."""
        return None if self.is_admin else self.owner

    @property
    def owners(self) -> tuple[str | None, ...]:
        """Where to look for a session by its id, which others may use too: first among its own."""
        return (self.owner, None) if self.is_admin else (self.owner,)


class Keys:
    """The keys that open the server.

    With none configured ``devkey`` does, but only for a client on this machine that no proxy
    speaks for: a request through a tunnel or a proxy looks local and is not.
    """

    def __init__(self, api_keys: tuple[str, ...], admin_keys: tuple[str, ...]) -> None:
        self.is_default = not api_keys and not admin_keys
        default = (DEFAULT_KEY,) if self.is_default else ()
        self._admin_digests = [_configured_digest(key) for key in default + admin_keys]
        self._digests = [*map(_configured_digest, api_keys), *self._admin_digests]

    def owner(self, headers: Headers, client_host: str | None) -> str:
        """Return the word that stands for the request's key, which it does not reveal.

        Errors: AuthenticationError, saying what to send.
        """
        return self._known_digest(headers, client_host).hex()[:16]

    def caller(self, headers: Headers, client_host: str | None) -> Caller:
        """Return who asks. *Errors:* AuthenticationError, saying what to send."""
        digest = self._known_digest(headers, client_host)
        return Caller(digest.hex()[:16], _is_among(digest, self._admin_digests))

    def check_admin(self, headers: Headers, client_host: str | None) -> None:
        """Let only an administrator's key pass; ``devkey`` is one where it is a key at all.

        Errors: AuthenticationError; PermissionDeniedError for a key that is known.
        """
        digest = self._known_digest(headers, client_host)
        if not _is_among(digest, self._admin_digests):
            raise PermissionDeniedError(
                "this key may not look inside; set JARVIS_ADMIN_KEYS and use one of them"
            )

    def _known_digest(self, headers: Headers, client_host: str | None) -> bytes:
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        key = key.strip(" \t")  # a bare strip() would take bytes of UTF-8 letters too
        if scheme.lower() != "bearer" or not key:
            raise AuthenticationError("send your key as 'Authorization: Bearer <key>'")
        digest = _digest(key.encode("latin-1"))  # as which Quart has decoded it
        if not _is_among(digest, self._digests):
            raise AuthenticationError("this key is not known here")
        if self.is_default and not _is_local(headers, client_host):
            raise AuthenticationError(
                f"'{DEFAULT_KEY}' works only from this machine and without a proxy; "
                "set JARVIS_API_KEYS to let others in"
            )
        return digest


def check_host(host_header: str | None, allowed: tuple[str, ...]) -> None:
    """Refuse a Host that is not ours, so that no web page can rebind a name to this server.

    IP addresses and ``localhost`` cannot be rebound; any other name must be in ``allowed``
    (``*`` allows every name). Errors: HostNotAllowedError.
    """
    if not host_header or "*" in allowed:  # a client without Host is no browser
        return
    if not _is_ours(host_header, allowed):
        raise HostNotAllowedError(
            f"this server does not answer as {host_header!r}; add the name to JARVIS_ALLOWED_HOSTS"
        )


@lru_cache(maxsize=16)  # a server has few names, and who makes them up may make them long
def _is_ours(host: str, allowed: tuple[str, ...]) -> bool:
    name = _host_name(host)
    return (
        name == "localhost"
        or name.endswith(".localhost")
        or name in map(_host_name, allowed)
        or _address(name) is not None
    )


def _host_name(host: str) -> str:
    """Return the name or address without its port; what is no Host at all stays as it is."""
    host = host.strip().lower()
    match = HOST.fullmatch(host)
    return (match[1] or match[2] or "").rstrip(".") if match else host


def _is_local(headers: Headers, client_host: str | None) -> bool:
    names = [name.lower() for name, _ in headers]
    if any(name in FORWARDING_HEADERS or name.startswith(FORWARDING_PREFIX) for name in names):
        return False
    return client_host == UNIX_SOCKET or _is_loopback(client_host or "")


@lru_cache
def _is_loopback(host: str) -> bool:
    address = _address(host)
    # A socket that listens on [::] may write IPv4 addresses as IPv6.
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_among(digest: bytes, known: list[bytes]) -> bool:
    # Every digest is compared, so that time tells nothing about which one it was.
    matches = [hmac.compare_digest(digest, one) for one in known]
    return any(matches)


def _configured_digest(key: str) -> bytes:
    return _digest(key.encode("utf-8", "surrogateescape"))


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
