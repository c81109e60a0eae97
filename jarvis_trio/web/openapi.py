"""The API's description of itself: ``GET /openapi.json``, in OpenAPI 3.1.

``OPERATIONS`` has an entry for every route of the application. The JSON is described by the structs
that are encoded (the chat request by structs that a test holds to its decoder), the errors by their
classes. The format: https://spec.openapis.org/oas/v3.1.1.html
"""

from functools import cache
from inspect import cleandoc
from typing import Any, Final

import msgspec
from msgspec import Struct
from quart import Response

from jarvis_trio import __version__
from jarvis_trio.engine.policies import Policy
from jarvis_trio.engine.stopping import Receipt
from jarvis_trio.errors import (
    AuthenticationError,
    BodyTooLargeError,
    HostNotAllowedError,
    JarvisError,
    MediaTypeError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotCurrentError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QueueFullError,
    RequestError,
    RequestTimeoutError,
    ServerShutdownError,
    SessionBusyError,
    StoppedError,
    SupersededError,
    UpstreamBusyError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from jarvis_trio.web.ops_routes import Health, Readiness
from jarvis_trio.web.session_routes import StopRequest
from jarvis_trio.wire.openai.answers import (
    ChatChunk,
    ChatCompletion,
    ErrorAnswer,
    ModelCard,
    ModelList,
)
from jarvis_trio.wire.openai.request_schema import MENTIONED, REF_TEMPLATE, REQUEST

Part = dict[str, Any]
"""A part of the document."""

JSON: Final = "application/json"
IDENTIFIER: Final = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}
STRING: Final = {"type": "string"}
TEXT: Final = {"text/plain": {"schema": STRING}}

ANYWHERE: Final = (HostNotAllowedError, MethodNotAllowedError, JarvisError)
WITH_KEY: Final = (*ANYWHERE, AuthenticationError)
OF_THE_UPSTREAM: Final = (
    UpstreamError, UpstreamEOFError, UpstreamTimeoutError, UpstreamBusyError,
    UpstreamRateLimitError, UpstreamRejectedError, OverloadedError,
)  # fmt: skip
OF_A_PROMPT: Final = (
    RequestError, RequestTimeoutError, BodyTooLargeError, MediaTypeError, ModelNotFoundError,
    SupersededError, StoppedError, SessionBusyError, QueueFullError, ServerShutdownError,
)  # fmt: skip

OF_A_STOP: Final = (
    *WITH_KEY, NotFoundError, NotCurrentError, RequestError, RequestTimeoutError, BodyTooLargeError,
    ServerShutdownError,
)  # fmt: skip

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


class Operation(Struct, frozen=True, kw_only=True):
    """What a route does: ``content`` is what it answers by status, beside its ``errors``."""

    id: str
    summary: str
    content: dict[int, Part]
    errors: tuple[type[JarvisError], ...] = ANYWHERE
    headers: tuple[str, ...] = ()
    parameters: tuple[Part, ...] = ()
    body: Part | None = None
    needs_body: bool = True


def _json(*kinds: type[Struct], **more: Any) -> Part:
    return {JSON: {"schema": _schema(*kinds), **more}}


def _schema(*kinds: type[Struct]) -> Part:
    schemas = [{"$ref": REF_TEMPLATE.format(name=kind.__name__)} for kind in kinds]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _events() -> Part:
    """Describe one event of a stream."""
    chunk = {"contentMediaType": JSON, "contentSchema": _schema(ChatChunk, ErrorAnswer)}
    data = {"type": "string", "anyOf": [{"const": "[DONE]"}, chunk]}
    event = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    return {"text/event-stream": {"schema": event}}


def _in_header(name: str, description: str, schema: Part) -> Part:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _in_path(name: str) -> Part:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _choice(name: str, description: str, *words: str) -> Part:
    """Describe a header that may be empty, for its default, and in upper case."""
    return _in_header(name, description, {"enum": [*words, ""]})


OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/v1/chat/completions"): Operation(
        id="chat",
        summary="Answer a conversation; a new prompt in a session supersedes its live answer",
        content={200: _json(ChatCompletion) | _events()},
        errors=(*WITH_KEY, *OF_A_PROMPT, *OF_THE_UPSTREAM),
        headers=("X-Session-Id", "X-Stream-Id"),
        parameters=(
            _in_header("X-Session-Id", "without one, a session of its own", IDENTIFIER),
            _choice("X-Session-Policy", "what happens to the live answer", *Policy),
            _choice("X-On-Disconnect", "what happens when the client goes", "cancel"),
        ),
        body=_json(*REQUEST, example={"prompt": "What is 2+2?", "stream": True}),
    ),
    ("GET", "/v1/models"): Operation(
        id="models",
        summary="List the models",
        content={200: _json(ModelList)},
        errors=(*WITH_KEY, *OF_THE_UPSTREAM),
    ),
    ("GET", "/v1/models/{model_id}"): Operation(
        id="model",
        summary="Describe one model; its name may hold slashes",
        content={200: _json(ModelCard)},
        errors=(*WITH_KEY, *OF_THE_UPSTREAM, ModelNotFoundError),
        parameters=(_in_path("model_id"),),
    ),
    ("POST", "/v1/sessions/{session_id}/cancel"): Operation(
        id="cancel_session",
        summary="Stop the session's live answer; answers when it has unwound, with what was seen",
        content={200: _json(Receipt)},
        errors=OF_A_STOP,
        parameters=(_in_path("session_id"),),
        body=_json(StopRequest, example={"stream_id": "str_01KABCDEF0123456789ABCDEFG"}),
        needs_body=False,
    ),
    ("POST", "/v1/streams/{stream_id}/cancel"): Operation(
        id="cancel_stream",
        summary="Stop one answer",
        content={200: _json(Receipt)},
        errors=OF_A_STOP,
        parameters=(_in_path("stream_id"),),
    ),
    ("GET", "/healthz"): Operation(
        id="healthz", summary="The process answers", content={200: _json(Health)}
    ),
    ("GET", "/readyz"): Operation(
        id="readyz",
        summary="Prompts would be answered; 503 with the reason when not",
        content={200: _json(Readiness), 503: _json(Readiness)},
    ),
    ("GET", "/metrics"): Operation(
        id="metrics", summary="What was counted, for Prometheus", content={200: TEXT}
    ),
    ("GET", "/debug/tasks"): Operation(
        id="tasks",
        summary="What this process is doing right now; for an administrator's key",
        content={200: TEXT},
        errors=(*WITH_KEY, PermissionDeniedError),
    ),
    ("GET", "/openapi.json"): Operation(
        id="openapi",
        summary="This document",
        content={200: {JSON: {"schema": {"type": "object"}}}},
    ),
    ("GET", "/"): Operation(id="index", summary="Where to go from here", content={200: TEXT}),
}


async def openapi() -> Response:
    """GET /openapi.json."""
    return Response(encoded_document(), content_type=JSON)


@cache
def encoded_document() -> bytes:
    """Return the document, which is the same for the life of the process."""
    return msgspec.json.encode(document())


def document() -> Part:
    """Return the description of every route."""
    described = [*REQUEST, *MENTIONED, ChatCompletion, ChatChunk, ModelList, ErrorAnswer]
    _, schemas = msgspec.json.schema_components(
        [*described, Receipt, StopRequest, Health, Readiness], ref_template=REF_TEMPLATE
    )
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
    trace = _in_header("X-Request-Id", "the request's id, for the log", STRING)
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
            "content": _json(ErrorAnswer),
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
