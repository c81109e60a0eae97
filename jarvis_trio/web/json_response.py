"""Answers in JSON."""

import msgspec
from msgspec import Struct
from quart import Response


def json_response(answer: Struct, status: int = 200) -> Response:
    """Return ``answer``, encoded."""
    return Response(msgspec.json.encode(answer), status=status, content_type="application/json")
