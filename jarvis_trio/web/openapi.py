"""The API's description of itself: ``GET /openapi.json``, in OpenAPI 3.1.

:mod:`operations` has an entry for every route of the application. The format:
https://spec.openapis.org/oas/v3.1.1.html
"""

from functools import cache
from inspect import cleandoc
from typing import Final

import msgspec
from quart import Response

from jarvis_trio import __version__
from jarvis_trio.engine.stopping import Receipt
from jarvis_trio.errors import AuthenticationError, JarvisError
from jarvis_trio.web.operations import (
    IDENTIFIER,
    JSON,
    OPERATIONS,
    STRING,
    Operation,
    Part,
    in_header,
    in_json,
)
from jarvis_trio.web.ops_routes import Health, Readiness
from jarvis_trio.web.overview_routes import Overview
from jarvis_trio.web.session_answers import MessagePage, SessionDeleted, SessionPage, TitleChange
from jarvis_trio.web.session_routes import StopRequest
from jarvis_trio.wire.openai.answers import ChatChunk, ChatCompletion, ErrorAnswer, ModelList
from jarvis_trio.wire.openai.request_schema import MENTIONED, REF_TEMPLATE, REQUEST

DESCRIBED: Final = [
    *REQUEST, *MENTIONED, ChatCompletion, ChatChunk, ModelList, ErrorAnswer, Receipt, StopRequest,
    SessionPage, SessionDeleted, TitleChange, MessagePage, Health, Readiness, Overview,
]  # fmt: skip

HEADERS: Final[dict[str, tuple[str, Part]]] = {
    "X-Request-Id": ("the request's id, as sent or a new one; the log calls it trace", IDENTIFIER),
    "X-Session-Id": ("the session, as sent or a new one", IDENTIFIER),
    "X-Stream-Id": ("the answer's id", {"type": "string", "pattern": "^str_"}),
    "Retry-After": ("seconds after which it may be tried again", {"type": "integer", "minimum": 1}),
    "X-Should-Retry": ("a client library must not send this prompt again", {"const": "false"}),
    "WWW-Authenticate": ("how to send the key", {"const": "Bearer"}),
    "Allow": ("the methods that are taken here", STRING),
}
"""What answers carry; the error of one status may bring its own."""

HEADERS_OF_STATUS: Final = {
    401: {"WWW-Authenticate": True}, 405: {"Allow": True}, 409: {"X-Should-Retry": True},
    429: {"Retry-After": False}, 503: {"Retry-After": False},
}  # fmt: skip
"""Which of them, and whether always."""


async def openapi() -> Response:
    """GET /openapi.json."""
    return Response(encoded_document(), content_type=JSON)


@cache
def encoded_document() -> bytes:
    """Return the document, which is the same for the life of the process."""
    return msgspec.json.encode(document())


def document() -> Part:
    """Return the description of every route."""
    _, schemas = msgspec.json.schema_components(DESCRIBED, ref_template=REF_TEMPLATE)
    for schema in schemas.values():  # msgspec leaves a docstring's indentation in it
        schema["description"] = cleandoc(schema["description"])
    paths: dict[str, Part] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jarvis_trio",
            "version": __version__,
            "description": "A streaming chat server in front of a model server.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation) -> Part:
    trace = in_header("X-Request-Id", "the request's id, for the log", STRING)
    described: Part = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [*operation.parameters, trace],
        "responses": dict(sorted(_responses(operation).items())),
        "security": [{"key": []}] if AuthenticationError in operation.errors else [],
    }
    if operation.body is not None:
        described["requestBody"] = {"required": operation.needs_body, "content": operation.body}
    return described


def _responses(operation: Operation) -> dict[str, Part]:
    responses: dict[str, Part] = {}
    for status in {error.status for error in operation.errors}:
        errors = [error for error in operation.errors if error.status == status]
        responses[str(status)] = {
            "description": " ".join(map(_sentence, errors)),
            "content": in_json(ErrorAnswer),
            "headers": _headers(
                dict.fromkeys(operation.headers, False) | HEADERS_OF_STATUS.get(status, {})
            ),
        }
    for status, content in operation.content.items():
        responses[str(status)] = {
            "description": operation.summary,
            "content": content,
            "headers": _headers(dict.fromkeys(operation.headers, True)),
        }
    return responses


def _sentence(error: type[JarvisError]) -> str:
    """Return the error's code and the first line of its class's text."""
    return f"`{error.code}`: {(error.__doc__ or '').splitlines()[0]}"


def _headers(names: dict[str, bool]) -> Part:
    return {
        name: {
            "description": HEADERS[name][0],
            "schema": HEADERS[name][1],
            "required": is_required,
        }
        for name, is_required in {"X-Request-Id": True, **names}.items()
    }
