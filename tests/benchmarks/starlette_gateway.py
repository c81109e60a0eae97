"""The gateway that everybody writes: Starlette's ``StreamingResponse`` over httpx's stream.

The shape is the one of httpx's own documentation ("streaming responses", with a background task).

``UPSTREAM=http://127.0.0.1:9999/v1 uvicorn starlette_gateway:app``. A peer to measure against; no
part of jarvis_trio, and not made to look bad: it streams, keeps connections to the model server,
passes its status on, and waits for its tokens without a limit.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Keep one client, and its connections, for as long as the server runs."""
    timeout = httpx.Timeout(10, read=None, pool=None)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=timeout, limits=limits) as client:
        app.state.client = client
        yield


async def models(request: Request) -> Response:
    """Pass the list on."""
    answer = await request.app.state.client.get(f"{os.environ['UPSTREAM']}/models")
    return _passed_on(answer)


async def chat(request: Request) -> Response:
    """Pass the prompt on, and its answer as it comes."""
    client: httpx.AsyncClient = request.app.state.client
    headers = {"content-type": "application/json"}
    url = f"{os.environ['UPSTREAM']}/chat/completions"
    asked = client.build_request("POST", url, content=await request.body(), headers=headers)
    answer = await client.send(asked, stream=True)
    if "text/event-stream" not in answer.headers.get("content-type", ""):
        await answer.aread()
        return _passed_on(answer)
    return StreamingResponse(
        answer.aiter_bytes(),
        status_code=answer.status_code,
        media_type="text/event-stream",
        background=BackgroundTask(answer.aclose),
    )


def _passed_on(answer: httpx.Response) -> Response:
    kind = answer.headers.get("content-type")
    return Response(answer.content, status_code=answer.status_code, media_type=kind)


routes = [Route("/v1/models", models), Route("/v1/chat/completions", chat, methods=["POST"])]
app = Starlette(routes=routes, lifespan=lifespan)
