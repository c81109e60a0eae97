"""Whatever speaks OpenAI's format: llama.cpp, vLLM, LM Studio, hosted models."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from jarvis_trio.events import ChatRequest, Model
from jarvis_trio.providers.upstream import Upstream, UpstreamAnswer
from jarvis_trio.wire.openai.upstream import ChatDecoder, decode_models, encode_chat_request

LLAMA_CPP = "llamacpp"
"""Who owns the models that llama.cpp's own server lists."""


class OpenAICompatibleProvider:
    """Asks ``{base_url}/chat/completions``; ``base_url`` usually ends in ``/v1``."""

    def __init__(self, base_url: str, key: str | None, connect_timeout_seconds: float) -> None:
        self._upstream = Upstream("openai", base_url, key, connect_timeout_seconds)
        self.name = self._upstream.name
        self.default_model: str | None = None
        self._is_llama_cpp = False

    @asynccontextmanager
    async def chat(self, request: ChatRequest) -> AsyncIterator[UpstreamAnswer]:
        """Ask for an answer; see :class:`jarvis_trio.providers.base.Provider`."""
        model = request.model or self.default_model
        if model is None:
            # Many servers do not mind a request without a model; the others say so.
            models = await self.models()
            model = models[0].id if models else None
        if self._is_llama_cpp:
            # A llama.cpp that reads a long prompt notices only when it writes that we have gone:
            # with progress reports it writes during prefill, and a cancel frees it in a second.
            request = replace(request, extra={**request.extra, "return_progress": True})
        content = encode_chat_request(request, model)
        async with self._upstream.stream(
            "chat/completions", content, ChatDecoder(), model=model
        ) as answer:
            yield answer

    async def models(self) -> list[Model]:
        """List the upstream's models, as it orders them."""
        models = await self._upstream.models("models", decode_models)
        self.default_model = models[0].id if models else None
        self._is_llama_cpp = any(model.owned_by == LLAMA_CPP for model in models)
        return models
