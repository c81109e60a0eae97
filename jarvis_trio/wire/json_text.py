"""JSON that can always be sent: text which UTF-8 cannot carry is mended, never an error."""

from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()


def encode_json(value: object) -> bytes:
    """Encode ``value`` (builtins and msgspec structs) as one line of UTF-8 JSON.

    Lone surrogates become U+FFFD; a pair that Python holds as two characters becomes the
    character it stands for. Errors: none for what msgspec can encode.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_mended(msgspec.to_builtins(value)))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    return value
