"""A streaming client that notes what it gets."""

import json
from typing import Any

import httpx
import trio

from tests.end_to_end.processes import KEY, NOBODY


class Exchange:
    """One prompt and what came back for it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers = httpx.Headers()
        self.raw = b""
        self.started = trio.Event()
        self.first_text = trio.Event()

    @property
    def chunks(self) -> list[dict[str, Any]]:
        lines = self.raw.decode().split("\n")
        data = [line[6:] for line in lines if line.startswith("data: ")]
        return [json.loads(text) for text in data if text != "[DONE]"]

    @property
    def text(self) -> str:
        deltas = [chunk["choices"][0]["delta"] for chunk in self.chunks if chunk.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def error_code(self) -> str | None:
        """The code of the error frame, or of the error response."""
        if self.status != 200:
            code: str = json.loads(self.raw)["error"]["code"]
            return code
        codes = [chunk["error"]["code"] for chunk in self.chunks if "error" in chunk]
        assert len(codes) <= 1, codes
        return codes[0] if codes else None

    @property
    def is_complete(self) -> bool:
        """The answer came to its own end."""
        reasons = [
            chunk["choices"][0]["finish_reason"] for chunk in self.chunks if chunk.get("choices")
        ]
        return self.status == 200 and any(reasons) and self.ends_with_done

    @property
    def ends_with_done(self) -> bool:
        return self.raw.endswith(b"data: [DONE]\n\n") and self.raw.count(b"[DONE]") == 1


async def prompt(
    url: str,
    text: str,
    *,
    session: str | None = None,
    exchange: Exchange | None = None,
    **body: Any,
) -> Exchange:
    """Send one streaming prompt and read it to its end; ``exchange`` can be watched meanwhile."""
    exchange = exchange or Exchange()
    headers = dict(KEY)
    if session is not None:
        headers["X-Session-Id"] = session
    trace = body.pop("trace", None)
    if trace is not None:
        headers["X-Request-Id"] = trace
    body = {"prompt": text, "stream": True, **body}
    async with (
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, verify=NOBODY) as client,
        client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response,
    ):
        exchange.status = response.status_code
        exchange.headers = response.headers
        exchange.started.set()
        async for data in response.aiter_raw():
            exchange.raw += data
            if b'"content":"' in exchange.raw.replace(b'"content":""', b""):
                exchange.first_text.set()
    return exchange
