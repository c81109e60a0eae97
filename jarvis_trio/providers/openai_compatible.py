"""Whatever speaks OpenAI's format: llama.cpp, vLLM, LM Studio, hosted models."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio
from msgspec.structs import replace

from jarvis_trio.errors import JarvisError
from jarvis_trio.events import ChatRequest, Model
from jarvis_trio.providers.upstream import Chat, Upstream, UpstreamAnswer, default_of
from jarvis_trio.wire.openai.load import decode_slots, decode_vllm_metrics
from jarvis_trio.wire.openai.upstream import ChatDecoder, decode_models, encode_chat_request

LLAMA_CPP = "llamacpp"
"""Who owns the models that llama.cpp's own server lists."""

LOAD = {LLAMA_CPP: ("/slots", decode_slots), "vllm": ("/metrics", decode_vllm_metrics)}
"""Where, by who owns its models, a server says how many requests it works at."""

GET_TO_KNOW_SECONDS = 1.0


class OpenAICompatibleProvider:
    """Asks ``{base_url}/chat/completions``; ``base_url`` usually ends in ``/v1``."""

    def __init__(self, base_url: str, key: str | None, connect_timeout_seconds: float) -> None:
        self._upstream = Upstream("openai", base_url, key, connect_timeout_seconds)
        self.name = self._upstream.name
        self.run = self._upstream.run
        self.default_model: str | None = None
        self._is_llama_cpp: bool | None = None
        self._load: tuple[str, Callable[[bytes], int]] | None = None

    def chat(self, request: ChatRequest) -> Chat:
        """Ask for an answer; see :class:`jarvis_trio.providers.base.Provider`."""
        return Chat(partial(self._ask, request))

    async def _ask(self, request: ChatRequest) -> UpstreamAnswer:
        if self._is_llama_cpp is None:
            await self._get_to_know()
        # Many servers do not mind a request without a model; the others say so.
        model = request.model or self.default_model
        if self._is_llama_cpp:
            # A llama.cpp that reads a long prompt notices only when it writes that we have gone:
            # with progress reports it writes during prefill, and a cancel frees it in a second.
            request = replace(request, extra={**request.extra, "return_progress": True})
        content = encode_chat_request(request, model)
        return await self._upstream.ask("chat/completions", content, ChatDecoder(), model=model)

    async def _get_to_know(self) -> None:
        """List the models once, if that can be had quickly; the chat itself says what is wrong."""
        with trio.move_on_after(GET_TO_KNOW_SECONDS), suppress(JarvisError):
            await self.models()

    async def models(self) -> list[Model]:
        """List the upstream's models, as it orders them."""
        models = await self._upstream.get("models", decode_models)
        self.default_model = default_of(models, self.default_model)
        owners = [model.owned_by for model in models]
        self._is_llama_cpp = LLAMA_CPP in owners
        self._load = next((LOAD[owner] for owner in owners if owner in LOAD), None)
        return models

    async def busy(self) -> int | None:
        """Return how many requests it works at; llama.cpp and vLLM say so."""
        if self._load is None:
            return None
        path, decode = self._load
        return await self._upstream.get(path, decode)
