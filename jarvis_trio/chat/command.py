"""The chat as a command: reads what was asked for, runs it, and returns the exit status."""

import ipaddress
import os
from typing import Final

import httpx
import trio
from msgspec import Struct

from jarvis_trio.chat.client import CONNECT_SECONDS, QUIET_SECONDS
from jarvis_trio.chat.conversation import SESSION_ID
from jarvis_trio.chat.run import Start, chat_at_terminal, chat_in_pipe
from jarvis_trio.errors import ConfigError

STDIN: Final = 0
STDOUT: Final = 1


class Order(Struct, frozen=True):
    """What the command line asked for; the names are its options'."""

    url: str
    key: str
    session: str | None
    model: str | None
    policy: str | None


def run_command(order: Order) -> int:
    """Chat, and return the exit status. *Errors:* ConfigError for an option that cannot be."""
    http = _http(_read_url(order.url), order.key)
    if order.session is not None and not SESSION_ID.fullmatch(order.session):
        raise ConfigError("--session takes 1 to 128 of the characters A-Z a-z 0-9 . _ : -")
    start = Start(http, order.session, order.model, order.policy)
    if os.isatty(STDIN) and os.isatty(STDOUT) and os.environ.get("TERM") != "dumb":
        return trio.run(chat_at_terminal, start)
    return trio.run(chat_in_pipe, start)


def _http(url: httpx.URL, key: str) -> httpx.AsyncClient:
    if not (key.isascii() and key.isprintable()):
        raise ConfigError("the key holds characters that no header can carry")
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=httpx.Timeout(QUIET_SECONDS, connect=CONNECT_SECONDS, pool=None),
        # One connection for each request: none can have been closed meanwhile.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=not _is_this_machine(url.host),
    )


def _read_url(text: str) -> httpx.URL:
    """Read ``http://host:port``, with or without the ``/v1`` of the API."""
    try:
        url = httpx.URL("" if " " in text else text if "://" in text else f"http://{text}")
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ConfigError("--url is no address of a server; write http://127.0.0.1:8000")
    if url.userinfo:
        raise ConfigError("--url takes no user and no password; a key goes to --key")
    return url.copy_with(path=url.path.rstrip("/").removesuffix("/v1") + "/")


def _is_this_machine(host: str) -> bool:
    """Nobody means a proxy on the way to himself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
