"""Every route's operation, as ``/openapi.json`` describes it.

The JSON is described by the structs that are encoded (the chat request by structs that a test holds
to its decoder), the errors by their classes.
"""

from typing import Any, Final

from msgspec import Struct

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
    StoreUnavailableError,
    StreamGoneError,
    SupersededError,
    UpstreamBusyError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from jarvis_trio.web.identifiers import PROMPT_ORDER
from jarvis_trio.web.ops_routes import Health, Readiness
from jarvis_trio.web.overview_routes import Overview
from jarvis_trio.web.session_answers import (
    CURSOR,
    MessagePage,
    SessionCard,
    SessionDeleted,
    SessionPage,
    TitleChange,
)
from jarvis_trio.web.session_routes import (
    MAX_MESSAGES,
    MAX_SEQ,
    MAX_SESSIONS,
    ORDERS,
    StopRequest,
)
from jarvis_trio.wire.openai.answers import (
    ChatChunk,
    ChatCompletion,
    ErrorAnswer,
    ModelCard,
    ModelList,
)
from jarvis_trio.wire.openai.request_schema import REF_TEMPLATE, REQUEST

Part = dict[str, Any]
"""A part of the document."""

JSON: Final = "application/json"
IDENTIFIER: Final = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}
STRING: Final = {"type": "string"}
COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}
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

OF_A_BODY: Final = (RequestTimeoutError, BodyTooLargeError, ServerShutdownError)
OF_A_STOP: Final = (*WITH_KEY, *OF_A_BODY, NotFoundError, NotCurrentError, RequestError)
OF_THE_HISTORY: Final = (*WITH_KEY, RequestError, StoreUnavailableError)


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


def in_json(*kinds: type[Struct], **more: Any) -> Part:
    """Describe content that is one of ``kinds``, encoded."""
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


def in_header(name: str, description: str, schema: Part) -> Part:
    """Describe a header of a request."""
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _in_path(name: str) -> Part:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str, description: str, schema: Part) -> Part:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _choice(name: str, description: str, *words: str) -> Part:
    """Describe a header that may be empty, for its default, and in upper case."""
    return in_header(name, description, {"enum": [*words, ""]})


OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/v1/chat/completions"): Operation(
        id="chat",
        summary="Answer a conversation; a new prompt in a session supersedes its live answer",
        content={200: in_json(ChatCompletion) | _events()},
        errors=(*WITH_KEY, *OF_A_PROMPT, *OF_THE_UPSTREAM),
        headers=("X-Session-Id", "X-Stream-Id"),
        parameters=(
            in_header("X-Session-Id", "without one, a session of its own", IDENTIFIER),
            _choice("X-Session-Policy", "what happens to the live answer", *Policy),
            _choice("X-On-Disconnect", "what happens when the client goes", "cancel", "continue"),
            in_header(
                "X-Prompt-Order",
                "a word of the client's, a dot, and which of its prompts this is",
                {"type": "string", "pattern": f"^({PROMPT_ORDER.pattern})?$"},
            ),
        ),
        body=in_json(*REQUEST, example={"prompt": "What is 2+2?", "stream": True}),
    ),
    ("GET", "/v1/models"): Operation(
        id="models",
        summary="List the models",
        content={200: in_json(ModelList)},
        errors=(*WITH_KEY, *OF_THE_UPSTREAM),
    ),
    ("GET", "/v1/models/{model_id}"): Operation(
        id="model",
        summary="Describe one model; its name may hold slashes",
        content={200: in_json(ModelCard)},
        errors=(*WITH_KEY, *OF_THE_UPSTREAM, ModelNotFoundError),
        parameters=(_in_path("model_id"),),
    ),
    ("GET", "/v1/sessions"): Operation(
        id="sessions",
        summary="List the conversations, the last updated first",
        content={200: in_json(SessionPage)},
        errors=OF_THE_HISTORY,
        parameters=(
            _in_query(
                "limit", "how many", {"type": "integer", "minimum": 1, "maximum": MAX_SESSIONS}
            ),
            _in_query(
                "cursor",
                "the last page's next_cursor",
                {"type": "string", "pattern": f"^({CURSOR.pattern})?$"},
            ),
            _in_query("search", "a part of the title", STRING),
        ),
    ),
    ("GET", "/v1/sessions/{session_id}"): Operation(
        id="session",
        summary="Describe a conversation: what is live in it, and what waits",
        content={200: in_json(SessionCard)},
        errors=(*OF_THE_HISTORY, NotFoundError),
        parameters=(_in_path("session_id"),),
    ),
    ("PATCH", "/v1/sessions/{session_id}"): Operation(
        id="rename_session",
        summary="Give a conversation another title",
        content={200: in_json(SessionCard)},
        errors=(*OF_THE_HISTORY, *OF_A_BODY, NotFoundError),
        parameters=(_in_path("session_id"),),
        body=in_json(TitleChange, example={"title": "Sums"}),
    ),
    ("DELETE", "/v1/sessions/{session_id}"): Operation(
        id="delete_session",
        summary="Delete a conversation; what is live in it is stopped first",
        content={200: in_json(SessionDeleted)},
        errors=(*OF_THE_HISTORY, NotFoundError),
        parameters=(_in_path("session_id"),),
    ),
    ("GET", "/v1/sessions/{session_id}/messages"): Operation(
        id="messages",
        summary="List a conversation's messages, the first one first, or the last one",
        content={200: in_json(MessagePage)},
        errors=(*OF_THE_HISTORY, NotFoundError),
        parameters=(
            _in_path("session_id"),
            _in_query(
                "limit", "how many", {"type": "integer", "minimum": 1, "maximum": MAX_MESSAGES}
            ),
            _in_query(
                "after",
                "the seq of the last one had",
                {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
            ),
            _in_query("order", "the newest first, or the oldest", {"enum": [*ORDERS]}),
        ),
    ),
    ("POST", "/v1/sessions/{session_id}/cancel"): Operation(
        id="cancel_session",
        summary="Stop the session's live answer; answers when it has unwound, with what was seen",
        content={200: in_json(Receipt)},
        errors=OF_A_STOP,
        parameters=(_in_path("session_id"),),
        body=in_json(StopRequest, example={"stream_id": "str_01KABCDEF0123456789ABCDEFG"}),
        needs_body=False,
    ),
    ("GET", "/v1/streams/{stream_id}"): Operation(
        id="stream",
        summary="Read an answer again, or on, from any event of it; each has its number as its id",
        content={200: _events()},
        errors=(*WITH_KEY, RequestError, NotFoundError, StreamGoneError),
        headers=("X-Session-Id", "X-Stream-Id"),
        parameters=(
            _in_path("stream_id"),
            _in_query("after", "how many events there were before; wins over the header", COUNT),
            in_header("Last-Event-ID", "the same, as browsers send it", COUNT),
        ),
    ),
    ("POST", "/v1/streams/{stream_id}/cancel"): Operation(
        id="cancel_stream",
        summary="Stop one answer",
        content={200: in_json(Receipt)},
        errors=OF_A_STOP,
        parameters=(_in_path("stream_id"),),
    ),
    ("GET", "/v1/ops"): Operation(
        id="ops",
        summary="What is going on: live answers, counts, how soon a cancel frees; for polling",
        content={200: in_json(Overview)},
        errors=WITH_KEY,
    ),
    ("GET", "/healthz"): Operation(
        id="healthz", summary="The process answers", content={200: in_json(Health)}
    ),
    ("GET", "/readyz"): Operation(
        id="readyz",
        summary="Prompts would be answered; 503 with the reason when not",
        content={200: in_json(Readiness), 503: in_json(Readiness)},
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
    ("GET", "/"): Operation(
        id="index",
        summary="The chat page; where it is not built, where to go from here",
        content={200: {"text/html": {"schema": STRING}} | TEXT, 304: {}},
    ),
}
