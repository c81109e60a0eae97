"""As much of HTTP as Chromium needs of a server that is played: one request for each connection."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.browser.built_page import CONTENT_SECURITY_POLICY, built_file
from tests.browser.plays import Answer
from tests.providers.raw_server import RawPeer


@dataclass
class Request:
    """One request of the page, and whether the page has gone away from it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    has_left: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}


def parse(data: bytes) -> Request:
    """Read a request's bytes, which are Chromium's."""
    head_bytes, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head_bytes.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    url = urlsplit(target)
    headers = {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)}
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    return Request(method, url.path, query, headers, body)


class PromptOrders:
    """Which of its prompts each page has sent last in a session, as ``X-Prompt-Order`` says."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}

    def is_overtaken(self, request: Request) -> bool:
        """Return whether one that was sent later is here already; else it is the last."""
        session = request.headers["x-session-id"]
        page, _, number = request.headers["x-prompt-order"].rpartition(".")
        last_page, last_number = self._last.get(session, ("", 0))
        if page == last_page and int(number) < last_number:
            return True
        self._last[session] = page, int(number)
        return False


def bearer(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def head(status: int, media_type: str, *more: str, stream_id: str = "") -> bytes:
    """Return a head; with a stream's id, that of a chunked body."""
    lines = [f"HTTP/1.1 {status} Played", f"Content-Type: {media_type}", "Connection: close", *more]
    lines.append("Cache-Control: no-cache")
    if stream_id:
        lines += [f"X-Stream-Id: {stream_id}", "Transfer-Encoding: chunked"]
    return "\r\n".join([*lines, "", ""]).encode()


async def send_json(peer: RawPeer, data: object, status: int = 200) -> None:
    body = json.dumps(data).encode()
    length = f"Content-Length: {len(body)}"
    await peer.stream.send_all(head(status, "application/json", length) + body)


async def send_error(peer: RawPeer, status: int, code: str, message: str) -> None:
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    await send_json(peer, {"error": error}, status)


async def send_file(peer: RawPeer, path: str) -> None:
    found = built_file(path)
    if found is None:
        await send_error(peer, 404, "not_found", "there is no such file")
        return
    body, media_type = found
    headers = [
        f"Content-Security-Policy: {CONTENT_SECURITY_POLICY}",
        f"Content-Length: {len(body)}",
    ]
    headers.append("X-Content-Type-Options: nosniff")
    await peer.stream.send_all(head(200, media_type, *headers) + body)


def page_of(messages: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return the page of a conversation's messages that a query asks for."""
    after = int(query.get("after", "0"))
    if query.get("order") == "desc":
        found = [message for message in reversed(messages) if not after or message["seq"] < after]
    else:
        found = [message for message in messages if message["seq"] > after]
    limit = int(query.get("limit", "100"))
    return {"object": "list", "data": found[:limit], "has_more": len(found) > limit}


def card_of(session: str, title: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return a session as the list has it."""
    last = answers[-1:]
    live = [one.stream_id for one in last if not one.is_over and one.kept is None]
    return {
        "id": session,
        "object": "session",
        "title": title,
        "created_at": 1_700_000_000,
        "updated_at": 1_700_000_000 + sum(1 + answer.is_over for answer in answers),
        "active_stream_id": live[0] if live else None,
        "queue": [],
    }
