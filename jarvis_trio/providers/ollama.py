"""Ollama by its native API: its OpenAI route hides errors in the middle of an answer."""

from functools import partial

import trio

from jarvis_trio.errors import UpstreamError
from jarvis_trio.events import ChatRequest, Model
from jarvis_trio.providers.upstream import Chat, Upstream, UpstreamAnswer, default_of
from jarvis_trio.wire.ollama import ChatDecoder, decode_models, encode_chat


class OllamaProvider:
    """Asks ``{base_url}/api/chat``."""

    def __init__(self, base_url: str, key: str | None, connect_timeout_seconds: float) -> None:
        self._upstream = Upstream("ollama", base_url, key, connect_timeout_seconds)
        self.name = self._upstream.name
        self.run = self._upstream.run
        self.default_model: str | None = None

    def chat(self, request: ChatRequest) -> Chat:
        """Ask for an answer; see :class:`jarvis_trio.providers.base.Provider`."""
        return Chat(partial(self._ask, request))

    async def _ask(self, request: ChatRequest) -> UpstreamAnswer:
        model = request.model or self.default_model or await self._first_model()
        content = encode_chat(request, model)
        return await self._upstream.ask("api/chat", content, ChatDecoder(), model=model)

    async def models(self) -> list[Model]:
        """List the models that have been pulled, the last pulled first."""
        models = await self._upstream.get("api/tags", decode_models)
        self.default_model = default_of(models, self.default_model)
        return models

    async def busy(self) -> int | None:
        """Return None: it tells which models are loaded, and not whether they work."""
        await trio.lowlevel.checkpoint()
        return None

    async def _first_model(self) -> str:
        models = await self.models()
        if not models:
            raise UpstreamError(f"{self.name} has no model yet; pull one: ollama pull llama3.2")
        return models[0].id
