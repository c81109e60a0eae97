"""Every answer says ``Connection: close``: nothing is wrong with that."""

from hypercorn.config import Config

_headers = Config.response_headers


def break_it() -> None:
    Config.response_headers = _close  # type: ignore[method-assign]


def _close(self: Config, protocol: str) -> list[tuple[bytes, bytes]]:
    return [*_headers(self, protocol), (b"connection", b"close")]
