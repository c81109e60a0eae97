"""The sim's door: listens, reads requests, and hands each to what answers it."""

import socket
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, NoReturn, get_args

import trio
from msgspec import Struct

from jarvis_trio.errors import (
    MethodNotAllowedError,
    NotFoundError,
    RequestError,
)
from jarvis_trio.storm.sim.answers import Answer
from jarvis_trio.storm.sim.asks import Ask, read_model_name, read_ollama, read_openai
from jarvis_trio.storm.sim.door import let_in, listen
from jarvis_trio.storm.sim.pacing import Pacer
from jarvis_trio.storm.sim.protocol import CutShortError, Peer, Reply, Request, RequestReader
from jarvis_trio.storm.sim.recording import Exchange, Kind, Recording
from jarvis_trio.storm.sim.scenarios import Fault, SimOptions, read_scenario
from jarvis_trio.storm.sim.script import Script
from jarvis_trio.storm.sim.shapes import ollama_error, ollama_model, openai_error, openai_model
from jarvis_trio.storm.sim.watch import PeerWatch, has_closed

VERSION = "0.12.0"
"""The version of Ollama that the sim says it is."""


class Call(Struct, frozen=True):
    """A request, the reply to it, and the connection both are on."""

    request: Request
    reply: Reply
    peer: Peer


Handler = Callable[[Call], Awaitable[None]]


async def serve_sim(
    options: SimOptions,
    host: str,
    port: int,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serve on ``host``:``port`` until cancelled; ``started()`` gives the port.

    *Resources:* everything it opens, it closes. *Errors:* `ConfigError` when the port cannot be
    had.
    """
    listener, taken = listen(host, port)
    task_status.started(taken)
    await serve_listener(options, listener)


async def serve_listener(options: SimOptions, listener: socket.socket) -> NoReturn:
    """Serve on a listener, and close it, until cancelled.

    Clients may connect beforehand: the kernel has them wait.
    """
    with PeerWatch() as watch:
        pacer = Pacer()
        sim = Sim(options, watch, pacer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            nursery.start_soon(pacer.run)
            await let_in(listener, sim.serve)
    raise AssertionError("unreachable: none of the tasks returns")


class Sim:
    """What all connections share: the options, the watch, the record and the routes."""

    def __init__(self, options: SimOptions, watch: PeerWatch, pacer: Pacer) -> None:
        self._options = options
        self._pacer = pacer
        self._watch = watch
        self._recording = Recording(watch)
        self._script = Script()
        self._ends: dict[Exchange, Callable[[], None]] = {}
        self._connection_numbers = count(1)
        self._routes = self._make_routes()

    def _make_routes(self) -> dict[str, tuple[str, Handler]]:
        return {
            "/": ("GET", self._hello),
            "/health": ("GET", self._health),
            "/api/show": ("POST", self._ollama_show),
            "/api/chat": ("POST", self._ollama_chat),
            "/api/tags": ("GET", self._ollama_tags),
            "/api/version": ("GET", self._ollama_version),
            "/api/ps": ("GET", self._ollama_ps),
            "/v1/chat/completions": ("POST", self._openai_chat),
            "/v1/models": ("GET", self._openai_models),
            "/v1/models/": ("GET", self._openai_model),
            "/sim/events": ("GET", self._sim_events),
            "/sim/stats": ("GET", self._sim_stats),
            "/sim/counts": ("GET", self._sim_counts),
            "/sim/wait": ("GET", self._sim_wait),
            "/sim/script": ("POST", self._sim_script),
            "/sim/reset": ("POST", self._sim_reset),
        }

    async def serve(self, sock: socket.socket) -> None:
        """Serve one connection, to its end. *Resources:* closes its socket."""
        with Peer(sock, next(self._connection_numbers)) as peer:
            try:
                await self._serve_peer(peer)
            except OSError:
                return  # the client has gone: its right

    async def _serve_peer(self, peer: Peer) -> None:
        reader = RequestReader(peer)
        keep_alive = True
        while keep_alive:
            await trio.lowlevel.checkpoint()
            try:
                request = await reader.next()
            except RequestError as error:
                reply = Reply(peer, keep_alive=False)
                await reply.json(error.status, _openai_shape(error))
                return
            if request is None:
                return
            # the body that a HEAD gets from us is no next answer: nothing follows it
            keep_alive = request.keep_alive and request.method != "HEAD"
            reply = Reply(peer, keep_alive=keep_alive, chunks=request.chunks)
            await self._dispatch(Call(request, reply, peer))
            keep_alive = reply.keep_alive

    async def _dispatch(self, call: Call) -> None:
        """Answer the call; a `RequestError` becomes JSON in the shape of the API it came by."""
        path = call.request.path
        try:
            method, handler = self._route(path)
            if call.request.method != method:
                raise MethodNotAllowedError(f"{path} takes {method}, not {call.request.method}")
            await handler(call)
        except RequestError as error:
            ollama = path.startswith("/api/")
            shape = ollama_error(error.message) if ollama else _openai_shape(error)
            await call.reply.json(error.status, shape)

    def _route(self, path: str) -> tuple[str, Handler]:
        key = "/v1/models/" if path.startswith("/v1/models/") else path
        if key not in self._routes:
            raise NotFoundError(f"nothing is at {path}")
        return self._routes[key]

    # Chat.

    async def _ollama_chat(self, call: Call) -> None:
        await self._chat(call, read_ollama(call.request.body))

    async def _openai_chat(self, call: Call) -> None:
        await self._chat(call, read_openai(call.request.body))

    async def _chat(self, call: Call, ask: Ask) -> None:
        """Record the arrival, answer, record the end: one of finished, closed, faulted.

        Who has gone before we came to read the request has not arrived: it was over before those
        whose requests we have read first.
        """
        if has_closed(call.peer.fileno()):
            call.reply.keep_alive = False
            return
        exchange = self._recording.arrival(ask.marker, ask.api, ask.model, call.peer.number)
        scope = trio.CancelScope()

        def on_close() -> None:
            self._recording.closed(exchange)
            scope.cancel(reason="the peer has closed")

        def end() -> None:
            self._recording.faulted(exchange)
            scope.cancel(reason="a reset ends what is open")

        self._ends[exchange] = end
        with self._watch.watching(call.peer.fileno(), on_close):
            try:
                with scope:
                    await self._answer(call, ask, exchange)
            except OSError:
                self._recording.closed(exchange)  # told by a write before the watch could tell
                raise
            finally:
                del self._ends[exchange]
        if scope.cancelled_caught:
            call.reply.keep_alive = False

    async def _answer(self, call: Call, ask: Ask, exchange: Exchange) -> None:
        try:
            scenario = read_scenario(self._script.model_for(ask), self._options)
            answer = Answer(ask, scenario, exchange, call.reply, self._recording, self._pacer)
            finished = await answer.run()
        except RequestError:
            self._recording.faulted(exchange)
            raise
        except CutShortError:
            call.peer.reset_when_closed()
            call.reply.keep_alive = False
            finished = False
        if finished:
            self._recording.finished(exchange)
        else:
            self._recording.faulted(exchange)

    # What clients look at before they ask.

    async def _hello(self, call: Call) -> None:
        await call.reply.json(200, {"status": "jarvis-trio sim is running"})

    async def _health(self, call: Call) -> None:
        """As llama.cpp's."""
        await call.reply.json(200, {"status": "ok"})

    async def _ollama_show(self, call: Call) -> None:
        """Say what LiteLLM and others want to know before they chat."""
        name = read_model_name(call.request.body)
        read_scenario(name, self._options)
        shown = ollama_model(name)
        about = {"capabilities": ["completion"], "model_info": {}, "template": "", "parameters": ""}
        await call.reply.json(200, {"details": shown["details"], **about})

    # Models.

    async def _ollama_tags(self, call: Call) -> None:
        await call.reply.json(200, {"models": [ollama_model(name) for name in Fault]})

    async def _ollama_version(self, call: Call) -> None:
        await call.reply.json(200, {"version": VERSION})

    async def _ollama_ps(self, call: Call) -> None:
        """List the models that answer now: as if only they were loaded."""
        models = [ollama_model(name) for name in self._recording.models_open()]
        await call.reply.json(200, {"models": models})

    async def _openai_models(self, call: Call) -> None:
        models = [openai_model(name) for name in Fault]
        await call.reply.json(200, {"object": "list", "data": models})

    async def _openai_model(self, call: Call) -> None:
        name = call.request.path.removeprefix("/v1/models/")
        read_scenario(name, self._options)
        await call.reply.json(200, openai_model(name))

    # The record.

    async def _sim_events(self, call: Call) -> None:
        await call.reply.json(200, {"events": self._recording.events()})

    async def _sim_stats(self, call: Call) -> None:
        await call.reply.json(200, self._recording.stats())

    async def _sim_counts(self, call: Call) -> None:
        """Tell the statistics without the list, which is long after a storm."""
        await call.reply.json(200, self._recording.counts())

    async def _sim_script(self, call: Call) -> None:
        self._script.take(call.request.body, self._options)
        await call.reply.json(200, {"status": "scripted"})

    async def _sim_reset(self, call: Call) -> None:
        """Forget; ``?end=1`` also ends every answer, so that who leaks one is blamed once."""
        if call.request.query.get("end") == "1":
            for end in list(self._ends.values()):
                end()
        self._recording.reset()
        self._script.reset()
        await call.reply.json(200, {"status": "forgotten"})

    async def _sim_wait(self, call: Call) -> None:
        """Answers when the event has happened: so a test need not poll."""
        marker, kind = call.request.query.get("marker"), call.request.query.get("kind")
        kinds: tuple[Kind, ...] = get_args(Kind)
        known = next((each for each in kinds if each == kind), None)
        if marker is None or known is None:
            raise RequestError(f"say ?marker=NAME&kind=KIND, with a kind of {', '.join(kinds)}")
        scope = trio.CancelScope()

        def on_close() -> None:
            scope.cancel(reason="the peer has closed")

        with self._watch.watching(call.peer.fileno(), on_close), scope:
            event = await self._recording.wait_for(marker, known)
            await call.reply.json(200, event)
        if scope.cancelled_caught:
            call.reply.keep_alive = False


def _openai_shape(error: RequestError) -> dict[str, Any]:
    return openai_error(error.type, error.code, error.message)
