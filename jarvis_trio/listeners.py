"""The sockets that ``jarvis-trio serve`` listens on, or a sentence that says why it cannot."""

import errno
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
        is_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise ConfigError(
            f"cannot listen on {host}:{port}{how} ({error.strerror or error}); "
            f"choose another with {'--host' if is_host else '--port'}"
        ) from error


def _bind_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_way(path)
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen on {path}: {error.strerror or error}") from error
    except ConfigError:
        sock.close()
        raise
    return sock


def _make_way(path: Path) -> None:
    """Remove a socket that was left behind by a server that was killed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"cannot listen on {path}: it is there, and no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(str(path)) in (0, errno.EAGAIN):  # the latter: its queue is full
            raise ConfigError(f"{path} is taken: another server answers there")
    path.unlink()
