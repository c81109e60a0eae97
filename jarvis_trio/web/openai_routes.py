"""OpenAI's routes: chat completions and models.

One request: bytes -> ChatRequest -> a stream in its session -> a reader of its frames -> bytes.
"""

import re
import secrets
import time
from functools import partial

import trio
from msgspec import Struct
from quart import Response, g, request

from jarvis_trio.config import HEADERS_COMMIT_SECONDS, WRITE_SLICE_BYTES, Settings
from jarvis_trio.engine.policies import parse_policy
from jarvis_trio.engine.replay import Reader
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream, Prompt
from jarvis_trio.errors import MediaTypeError, ModelNotFoundError, RequestError
from jarvis_trio.events import Cause, Model
from jarvis_trio.web.auth import Keys
from jarvis_trio.web.connection import at_end
from jarvis_trio.web.response_body import StreamBody
from jarvis_trio.wire.openai.frames import (
    PING,
    ChatChunkEncoder,
    encode_completion,
    encode_model,
    encode_models,
)
from jarvis_trio.wire.openai.request import decode_chat_request

IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,128}")
UNKNOWN_MODEL = "default"


class Dialogue(Struct, frozen=True):
    """What the request's headers say about its session."""

    session_id: str
    trace: str


class OpenAIRoutes:
    """The views; what they need comes in, nothing is global."""

    def __init__(self, settings: Settings, sessions: Sessions, keys: Keys) -> None:
        self._settings = settings
        self._sessions = sessions
        self._keys = keys

    async def chat_completions(self) -> Response:
        """POST /v1/chat/completions."""
        owner = self._keys.owner(request.headers, request.remote_addr)
        dialogue = _dialogue()
        g.answer_headers = _headers(dialogue)
        policy = parse_policy(
            request.headers.get("X-Session-Policy") or self._settings.session_policy
        )
        _check_on_disconnect()
        _check_media_type()
        body = await request.get_data(cache=False, as_text=False, parse_form_data=False)
        chat = decode_chat_request(body)
        model = chat.model or self._sessions.provider.default_model or UNKNOWN_MODEL
        created = int(time.time())
        prompt = Prompt(
            chat,
            owner,
            dialogue.session_id,
            dialogue.trace,
            partial(
                ChatChunkEncoder, model=model, created=created, include_usage=chat.include_usage
            ),
        )
        stream = self._sessions.submit(prompt, policy)
        reader = stream.attach()
        at_end(reader.leave)
        g.answer_headers["X-Stream-Id"] = stream.id
        if chat.stream:
            return await self._streaming(stream, reader)
        return await _whole(stream, reader, model, created)

    async def models(self) -> Response:
        """GET /v1/models."""
        self._keys.owner(request.headers, request.remote_addr)
        return _json(encode_models(await self._list_models()))

    async def model(self, model_id: str) -> Response:
        """GET /v1/models/{id}."""
        self._keys.owner(request.headers, request.remote_addr)
        for model in await self._list_models():
            if model.id == model_id:
                return _json(encode_model(model))
        raise ModelNotFoundError(f"there is no model {model_id!r}", param="model")

    async def _list_models(self) -> list[Model]:
        provider = self._sessions.provider
        with trio.fail_after(self._settings.connect_timeout_s):
            return await provider.models()

    async def _streaming(self, stream: LiveStream, reader: Reader) -> Response:
        """Commit the headers when the upstream has accepted, or after a second.

        So a refusal is a real HTTP status, and a model that takes long to load still gets its
        role chunk and pings.
        """
        with trio.move_on_after(HEADERS_COMMIT_SECONDS):
            await stream.settled.wait()
        if stream.error is not None and not stream.accepted:
            raise stream.error
        response = Response(
            StreamBody(reader, self._settings.keepalive_s, PING),
            content_type="text/event-stream; charset=utf-8",
        )
        response.timeout = None  # Quart would cut the answer off after a minute
        return response


async def _whole(stream: LiveStream, reader: Reader, model: str, created: int) -> Response:
    """Wait for the whole answer; the frames are read only to hold nothing up."""
    while await reader.receive(WRITE_SLICE_BYTES):
        pass
    if stream.cause is not Cause.COMPLETED and stream.error is not None:
        raise stream.error
    return _json(encode_completion(stream.id, model, created, stream.answer.completion()))


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


def _dialogue() -> Dialogue:
    session_id = request.headers.get("X-Session-Id")
    if session_id is None:
        session_id = f"once-{secrets.token_hex(8)}"
    elif not IDENTIFIER.fullmatch(session_id):
        raise RequestError(
            "X-Session-Id takes 1 to 128 of the characters A-Z a-z 0-9 . _ : -",
            param="X-Session-Id",
        )
    trace = request.headers.get("X-Request-Id", "")
    if not IDENTIFIER.fullmatch(trace):
        trace = secrets.token_hex(8)
    return Dialogue(session_id, trace)


def _headers(dialogue: Dialogue) -> dict[str, str]:
    """Return the headers of every answer from here on, also of a refusal."""
    return {
        "X-Session-Id": dialogue.session_id,
        "X-Request-Id": dialogue.trace,
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
    }


def _check_on_disconnect() -> None:
    value = request.headers.get("X-On-Disconnect", "cancel").strip().lower()
    if value == "continue":
        raise RequestError(
            "X-On-Disconnect: continue is not available in this version; use cancel",
            code="continue_not_available",
            param="X-On-Disconnect",
        )
    if value != "cancel":
        raise RequestError(
            f"X-On-Disconnect is cancel or continue, not {value!r}", param="X-On-Disconnect"
        )


def _check_media_type() -> None:
    """Take JSON, and what curl calls it when it is not told: its default for ``-d``."""
    if request.mimetype not in ("", "application/json", "application/x-www-form-urlencoded"):
        raise MediaTypeError(
            f"send JSON with 'Content-Type: application/json', not {request.mimetype}"
        )
