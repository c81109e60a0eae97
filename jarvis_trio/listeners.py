"""The sockets that ``jarvis-trio serve`` listens on, or a sentence that says why it cannot."""

import socket
import stat
from pathlib import Path

from jarvis_trio.config import Settings
from jarvis_trio.errors import ConfigError


def bind_listener(settings: Settings) -> socket.socket:
    """Bind to the address or the path that is set. *Resources:* the caller closes the socket.

    Errors: ConfigError for an address that cannot be had.
    """
    if settings.unix_socket is not None:
        return _bind_unix(Path(settings.unix_socket))
    sock = socket.socket(_family(settings.host), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
    if settings.reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _bind(sock, settings.host, settings.port)
    return sock


def bind_quic(host: str, port: int) -> socket.socket:
    """Bind UDP beside the TCP listener. *Resources* and *Errors* as above."""
    sock = socket.socket(_family(host), socket.SOCK_DGRAM)
    _bind(sock, host, port, " over UDP for HTTP/3")
    return sock


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bind(sock: socket.socket, host: str, port: int, how: str = "") -> None:
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}{how} ({error.strerror or error}); "
            "choose another with --port"
        ) from error


def _bind_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            if sock.connect_ex(str(path)) == 0:
                sock.close()
                raise ConfigError(f"{path} is taken: another server answers there")
            path.unlink()  # left behind by one that was killed
    except FileNotFoundError:
        pass
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen on {path}: {error.strerror or error}") from error
    return sock
