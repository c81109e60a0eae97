"""A chat server that the test plays: it serves the page, and its API well or badly.

Its answers are those of ``plays``, by prompt. Where it is not told to err it keeps to what
docs/sessions.md says, as far as the page asks for that.
"""

from functools import partial
from itertools import count
from typing import Any
from urllib.parse import unquote

import trio

from tests.browser.backstage import Backstage
from tests.browser.played_http import (
    PromptOrders,
    Request,
    bearer,
    card_of,
    chunk,
    head,
    page_of,
    parse,
    send_error,
    send_file,
    send_json,
)
from tests.browser.plays import Answer, Fails, Foreign, Gate, Pause, Play, Thinks, numbered
from tests.end_to_end.processes import wait_until
from tests.providers.raw_server import RawPeer

REASONS = {"superseded": "another prompt took over", "stopped": "the answer was stopped"}


class PlayedServer:
    """The server; its methods without an underscore are for the test's thread.

    With ``supersedes`` off, an answer goes on when the next prompt of its session comes: as a
    server does that knows nothing of sessions.
    """

    def __init__(self, backstage: Backstage, *, supersedes: bool = True) -> None:
        self._backstage = backstage
        self._supersedes = supersedes
        self._keys: tuple[str, ...] = ()
        self.ignores_stops = False
        self.holds_streams = True
        self._gates: dict[str, trio.Event] = {}
        self._numbers = count(1)
        self._orders = PromptOrders()
        self.plays: dict[str, Play] = {}
        self.other_play: Play | None = None
        self.titles: dict[str, str] = {}
        self.overview: object = None
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.url = f"http://127.0.0.1:{backstage.start(self.run)}"

    def open_gate(self, name: str) -> None:
        """Open what answers wait for; it stays open."""
        self._backstage.do(lambda: self._gate(name).set())

    def asked(self, method: str, path: str) -> list[Request]:
        """Return the requests so far for a path that begins so."""
        return [r for r in self.requests if r.method == method and r.path.startswith(path)]

    def lock(self, *keys: str) -> None:
        """Refuse all other keys from now on."""
        self._keys = keys

    def wait_until_over(self) -> None:
        """Wait until no answer is being given any more."""
        wait_until(lambda: all(answer.is_over for answer in self.answers))

    def keep(self, session: str, *turns: tuple[str, str]) -> None:
        """Have a conversation from before: prompts and their answers, complete."""
        self._backstage.do(self._keep, session, turns)

    def _gate(self, name: str) -> trio.Event:
        return self._gates.setdefault(name, trio.Event())

    def _keep(self, session: str, turns: tuple[tuple[str, str], ...]) -> None:
        for prompt, text in turns:
            answer = self._answer(session, prompt, Play())
            answer.text = text
            answer.end("complete", "completed")

    def _answer(self, session: str, prompt: str, play: Play) -> Answer:
        answer = Answer(next(self._numbers), session, prompt, play)
        self.answers.append(answer)
        self.titles.setdefault(session, prompt[:60])
        return answer

    async def run(self, *, task_status: trio.TaskStatus[int]) -> None:
        """Serve until cancelled; the status is the port."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listener.socket.getsockname()[1])
        async with trio.open_nursery() as nursery:
            handle = partial(self._handle, nursery)
            await trio.serve_listeners(handle, [listener], handler_nursery=nursery)

    async def _handle(self, nursery: trio.Nursery, tcp: trio.SocketStream) -> None:
        peer = RawPeer(tcp, None)
        try:
            request = parse(await peer.read_request())
            self.requests.append(request)
            await self._route(nursery, peer, request)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one side has closed: the page has left, or the play wanted it so
        finally:
            tcp.socket.close()

    async def _route(self, nursery: trio.Nursery, peer: RawPeer, request: Request) -> None:
        if not request.path.startswith("/v1/"):
            await send_file(peer, request.path)
        elif self._keys and bearer(request) not in self._keys:
            await send_error(peer, 401, "invalid_api_key", "this key opens nothing")
        elif request.path == "/v1/chat/completions":
            await self._chat(nursery, peer, request)
        elif request.path.startswith("/v1/streams/"):
            await self._stream(peer, request)
        elif request.path.startswith("/v1/sessions"):
            await self._session(peer, request)
        elif request.path == "/v1/models":
            await send_json(peer, {"object": "list", "data": [{"id": "played"}, {"id": "other"}]})
        elif request.path == "/v1/ops" and self.overview is not None:
            await send_json(peer, self.overview)
        else:
            await send_error(peer, 404, "not_found", "there is nothing here")

    async def _chat(self, nursery: trio.Nursery, peer: RawPeer, request: Request) -> None:
        prompt = request.json["prompt"]
        play = self.plays.get(prompt) or self.other_play or Play(numbered(prompt, seconds=0.005))
        if play.headers_wait_for is not None:
            await self._gate(play.headers_wait_for.name).wait()
        if play.status == 0:
            peer.reset()
            return
        if play.status != 200:
            await send_error(peer, play.status, play.code, play.message)
            return
        if self._orders.is_overtaken(request):
            await send_error(peer, 409, "superseded", REASONS["superseded"])
            return
        session = request.headers["x-session-id"]
        self._take_out(session, request.json.get("replaces"))
        answer = self._answer(session, prompt, play)
        if self._supersedes:
            self._end_live(session, "superseded", but=answer, superseded_by=answer.stream_id)
        else:
            self._lose_sight_of_live(session, but=answer)
        nursery.start_soon(self._give, answer)
        await self._follow(peer, request, answer)

    def _take_out(self, session: str, stream_id: str | None) -> None:
        """Take the turn of that stream, and all behind it, out of the conversation."""
        mine = [answer for answer in self.answers if answer.session == session]
        found = [n for n, answer in enumerate(mine) if answer.stream_id == stream_id]
        if found:
            gone = mine[found[0] :]
            self.answers = [answer for answer in self.answers if answer not in gone]

    def _end_live(self, session: str, cause: str, but: Answer | None = None, **more: str) -> None:
        for answer in self.answers:
            if answer.session == session and answer is not but and not answer.is_over:
                answer.scope.cancel(reason=cause)
                answer.add_error(cause, REASONS[cause], **more)
                answer.end("interrupted", cause)

    def _lose_sight_of_live(self, session: str, but: Answer) -> None:
        """Keep of the answers before what has come, as if they ended here; but they run on."""
        for answer in self.answers:
            if answer.session == session and answer is not but and not answer.is_over:
                answer.kept = answer.kept or answer.text

    async def _give(self, answer: Answer) -> None:
        with answer.scope:
            answer.add_chunk({"role": "assistant", "content": ""})
            for step in answer.play.steps:
                match step:
                    case Gate(name):
                        await self._gate(name).wait()
                    case Pause(seconds):
                        await trio.sleep(seconds)
                    case Thinks(text):
                        answer.reasoning += text
                        answer.add_chunk({"reasoning_content": text})
                    case Foreign(text, stream_id):
                        answer.add_chunk({"content": text}, stream_id=stream_id)
                    case Fails(code, message):
                        answer.add_error(code, message)
                        answer.end("failed", code)
                    case str(text):
                        answer.text += text
                        answer.add_chunk({"content": text})
            if answer.play.is_done and not answer.is_over:
                answer.add_chunk({}, "stop")
            answer.end("complete", "completed", is_done=answer.play.is_done)

    async def _follow(
        self, peer: RawPeer, request: Request, answer: Answer, had: int | None = None
    ) -> None:
        """Send the events of an answer, to a re-attachment those behind the first ``had``."""
        await peer.stream.send_all(head(200, "text/event-stream", stream_id=answer.stream_id))

        async def notice_leaving() -> None:
            await peer.see_close()
            request.has_left = True
            nursery.cancel_scope.cancel(reason="the page has gone")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(notice_leaving)
            if had is None:
                await self._send_events(peer, answer)
            else:
                await self._send_numbered_events(peer, answer, had)
            nursery.cancel_scope.cancel(reason="the body has ended")

    async def _send_events(self, peer: RawPeer, answer: Answer) -> None:
        sent = 0
        while sent != answer.play.cut_after and (event := await answer.event(sent + 1)):
            await peer.stream.send_all(chunk(event))
            sent += 1
        if answer.play.cut_after is None or answer.play.cut_is_clean:
            await peer.stream.send_all(chunk(b""))

    async def _send_numbered_events(self, peer: RawPeer, answer: Answer, had: int) -> None:
        while event := await answer.event(had + 1):
            had += 1
            await peer.stream.send_all(chunk(b"id: %d\n%b" % (had, event)))
        await peer.stream.send_all(chunk(b""))

    async def _stream(self, peer: RawPeer, request: Request) -> None:
        _, _, _, stream_id, *rest = request.path.split("/")
        found = [answer for answer in self.answers if answer.stream_id == stream_id]
        if found and not self.holds_streams:
            await send_error(peer, 410, "stream_gone", "this stream is no longer held")
        elif not found:
            await send_error(peer, 404, "not_found", f"there is no stream {stream_id!r}")
        elif rest == ["cancel"]:
            await self._stop(peer, found[0])
        else:
            (answer,) = found
            after = int(request.query.get("after", request.headers.get("last-event-id", "0")))
            await self._follow(peer, request, answer, max(0, after - answer.play.repeats))

    async def _stop(self, peer: RawPeer, answer: Answer) -> None:
        status = "already_ended" if answer.is_over else "cancelled"
        if not answer.is_over and self.ignores_stops:
            answer.kept = answer.text
        elif not answer.is_over:
            answer.scope.cancel(reason="stopped")
            answer.add_error("stopped", REASONS["stopped"])
            answer.end("interrupted", "stopped")
        receipt: dict[str, Any] = {"session_id": answer.session, "stream_id": answer.stream_id}
        receipt |= {"cause": answer.cause, "phase": "decode", "status": status}
        seen = {"tokens_sent": 3, "upstream_closed_ms": 0.6, "backend_idle_ms": 4.0}
        await send_json(peer, receipt | seen)

    async def _session(self, peer: RawPeer, request: Request) -> None:
        _, _, _, *names = request.path.split("/")
        if not names:
            found = [self._card(session) for session in reversed(self.titles)]
            wanted = request.query.get("search", "").lower()
            found = [card for card in found if wanted in card["title"].lower()]
            page = {"object": "list", "data": found, "has_more": False, "next_cursor": None}
            await send_json(peer, page)
        elif (session := unquote(names[0])) not in self.titles:
            await send_error(peer, 404, "not_found", f"there is no session {session!r}")
        elif names[1:] == ["messages"]:
            await self._messages(peer, request, session)
        elif names[1:] == ["cancel"]:
            wanted = request.json.get("stream_id")
            mine = [answer for answer in self.answers if answer.session == session]
            named = [answer for answer in mine if answer.stream_id == wanted]
            await self._stop(peer, (named or mine)[-1])
        else:
            await self._change(peer, request, session)

    async def _change(self, peer: RawPeer, request: Request, session: str) -> None:
        if request.method == "PATCH":
            self.titles[session] = request.json["title"]
        elif request.method == "DELETE":
            self._end_live(session, "stopped")
            del self.titles[session]
            self.answers = [answer for answer in self.answers if answer.session != session]
            await send_json(peer, {"id": session, "object": "session.deleted", "deleted": True})
            return
        await send_json(peer, self._card(session))

    async def _messages(self, peer: RawPeer, request: Request, session: str) -> None:
        messages = [m for a in self.answers if a.session == session for m in a.messages()]
        await send_json(peer, page_of(messages, request.query))

    def _card(self, session: str) -> dict[str, Any]:
        mine = [answer for answer in self.answers if answer.session == session]
        return card_of(session, self.titles[session], mine)
