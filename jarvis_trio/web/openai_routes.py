"""OpenAI's routes: chat completions and models.

One request: bytes -> ChatRequest -> a stream in its session -> a reader of its frames -> bytes.
"""

import secrets
import time
from contextlib import suppress
from contextvars import Context
from functools import partial

import trio
from quart import Response, g, request
from werkzeug.datastructures import Headers

from jarvis_trio.config import HEADERS_COMMIT_SECONDS, WRITE_SLICE_BYTES, Settings
from jarvis_trio.engine.policies import parse_policy
from jarvis_trio.engine.prompt import Prompt, SendOrder
from jarvis_trio.engine.replay import Reader
from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.errors import (
    MediaTypeError,
    ModelNotFoundError,
    RequestError,
    UpstreamDownError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import Cause, Model
from jarvis_trio.web.auth import Keys
from jarvis_trio.web.connection import at_end, began_at, receive_body
from jarvis_trio.web.identifiers import IDENTIFIER, PROMPT_ORDER
from jarvis_trio.web.response_body import UNBUFFERED, Keepalive, StreamBody, respond_with
from jarvis_trio.wire.openai.frames import (
    ChatChunkEncoder,
    encode_completion,
    encode_model,
    encode_models,
)
from jarvis_trio.wire.openai.request import decode_chat_request

UNKNOWN_MODEL = "default"

DECODE_ON_THE_LOOP_BYTES = 256 * 1024
"""Larger requests are decoded in a thread: a hostile 4 MB takes half a second."""

DECODING_THREADS = 2
"""Of our own: the default ones may all be waiting for a resolver that does not answer."""


class OpenAIRoutes:
    """The views; what they need comes in, nothing is global."""

    def __init__(
        self, settings: Settings, sessions: Sessions, keys: Keys, keepalive: Keepalive
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._keepalive = keepalive
        self._keys = keys
        self._decoding = trio.CapacityLimiter(DECODING_THREADS)

    async def chat_completions(self) -> Response:
        """POST /v1/chat/completions."""
        headers, answer_headers = request.headers, g.answer_headers
        owner = self._keys.owner(headers, request.remote_addr)
        session_id = _session_id(headers)
        answer_headers |= {"X-Session-Id": session_id, **UNBUFFERED}
        policy = parse_policy(headers.get("X-Session-Policy") or self._settings.session_policy)
        lives_on, order = _lives_on(headers), _order(headers)
        _check_media_type()
        body = await receive_body()
        if len(body) > DECODE_ON_THE_LOOP_BYTES:
            chat = await trio.to_thread.run_sync(
                decode_chat_request, body, abandon_on_cancel=True, limiter=self._decoding
            )
        else:
            chat = decode_chat_request(body)
        if chat.replaces is not None and "X-Session-Id" not in headers:
            raise RequestError(
                "replaces needs the X-Session-Id of a conversation: without one, nothing is kept",
                param="replaces",
            )
        model = chat.model or await self._default_model()
        created = int(time.time())
        prompt = Prompt(
            chat,
            owner,
            session_id,
            answer_headers["X-Request-Id"],
            partial(
                ChatChunkEncoder, model=model, created=created, include_usage=chat.include_usage
            ),
            began_at(),
            lives_on=lives_on,
            is_kept="X-Session-Id" in headers,
            order=order,
        )
        # Nothing of a client that has gone meanwhile reaches the upstream.
        await trio.lowlevel.checkpoint_if_cancelled()
        # In a context of its own: the stream's tasks would keep all contexts of the request.
        stream = Context().run(self._sessions.submit, prompt, policy)
        reader = stream.attach()
        at_end(reader.leave)
        answer_headers["X-Stream-Id"] = stream.id
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

    async def _default_model(self) -> str:
        """Return the model that answers who names none; asks only while it is not known."""
        provider = self._sessions.provider
        if provider.default_model is None:
            with suppress(UpstreamDownError):  # the stream's to tell, when it has tried again
                await self._list_models()
        return provider.default_model or UNKNOWN_MODEL

    async def _list_models(self) -> list[Model]:
        provider = self._sessions.provider
        with trio.move_on_after(self._settings.connect_timeout_s):
            return await provider.models()
        raise UpstreamTimeoutError(f"{provider.name} did not say in time which models it has")

    async def _streaming(self, stream: LiveStream, reader: Reader) -> Response:
        """Commit the headers when the upstream has accepted, or after a second.

        So a refusal is a real HTTP status, and a model that takes long to load still gets its
        role chunk and pings.
        """
        with trio.move_on_after(HEADERS_COMMIT_SECONDS):
            await stream.settled.wait()
        if stream.error is not None and not stream.accepted:
            raise stream.error
        if stream.misses_history:
            g.answer_headers["X-History"] = "unavailable"
        return respond_with(StreamBody(reader, self._keepalive))


async def _whole(stream: LiveStream, reader: Reader, model: str, created: int) -> Response:
    """Wait for the whole answer; the frames are read only to hold nothing up."""
    while await reader.receive(WRITE_SLICE_BYTES):
        pass
    if stream.cause is not Cause.COMPLETED and stream.error is not None:
        raise stream.error
    if stream.misses_history:
        g.answer_headers["X-History"] = "unavailable"
    return _json(encode_completion(stream.id, model, created, stream.answer.completion()))


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


def trace_of(headers: Headers) -> str:
    """Return the request's id, as the client gave it or a new one."""
    given = headers.get("X-Request-Id", "")
    return given if IDENTIFIER.fullmatch(given) else secrets.token_hex(8)


def _session_id(headers: Headers) -> str:
    session_id = headers.get("X-Session-Id")
    if session_id is None:
        return f"once-{secrets.token_hex(8)}"
    if not IDENTIFIER.fullmatch(session_id):
        raise RequestError(
            "X-Session-Id takes 1 to 128 of the characters A-Z a-z 0-9 . _ : -",
            param="X-Session-Id",
        )
    return session_id


def _lives_on(headers: Headers) -> bool:
    """Say whether the answer is to go on without its client."""
    value = (headers.get("X-On-Disconnect") or "cancel").strip().lower()
    if value not in ("cancel", "continue"):
        raise RequestError(
            f"X-On-Disconnect is cancel or continue, not {value!r}", param="X-On-Disconnect"
        )
    return value == "continue"


def _order(headers: Headers) -> SendOrder | None:
    """Read which of its client's prompts this one is, if that says so."""
    given = headers.get("X-Prompt-Order")
    if not given:
        return None
    match = PROMPT_ORDER.fullmatch(given)
    if match is None:
        raise RequestError(
            "X-Prompt-Order is a word of yours, a dot, and a number that grows, such as tab-5f2c.7",
            param="X-Prompt-Order",
        )
    return SendOrder(match[1], int(match[2]))


def _check_media_type() -> None:
    """Take JSON, and what curl calls it when it is not told: its default for ``-d``."""
    if request.mimetype not in ("", "application/json", "application/x-www-form-urlencoded"):
        raise MediaTypeError(
            f"send JSON with 'Content-Type: application/json', not {request.mimetype}"
        )
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise MediaTypeError(f"send the body as it is, without Content-Encoding: {encoding}")
