"""A model server that dies at any byte of its answer: the client gets the truth about each.

Byte 0 is the first of the HTTP head. At the end of its own end marker the answer is whole; before
that it is a failure, however much of it came.
"""

import json
import re
import secrets
from dataclasses import dataclass

import httpx
import pytest
import trio

from tests.end_to_end.client import Exchange
from tests.end_to_end.faults.played_upstream import (
    OLLAMA,
    SECRET,
    Api,
    PlayedUpstream,
    failure,
    saying,
    servers_before_upstream,
)
from tests.end_to_end.processes import KEY, NOBODY, wait_until
from tests.providers.raw_server import RawPeer

AT_ONCE = 16
CUT = re.compile(rb"<(\d+)>")

upstream = servers_before_upstream(log_level="info")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class Response:
    """A whole response of HTTP, and where in it things are complete."""

    data: bytes
    head: int
    tokens: tuple[int, int]
    whole: int

    def text_at(self, cut: int) -> str:
        return "".join(f"w{number} " for number, end in enumerate(self.tokens) if end <= cut)


def response(api: Api, then: str) -> Response:
    """Return a response, and where it is complete for a connection that ends so.

    An orderly close may take the place of a last line's end in NDJSON, and of ``[DONE]`` behind
    a finish reason. A reset may not.
    """
    tokens = [api.tokens(0), api.tokens(1)]
    events = [*tokens, *filter(None, [api.finish]), api.end]
    top = api.head("Transfer-Encoding: chunked")
    data = top + b"".join(map(chunk, events)) + b"0\r\n\r\n"
    closed = then == "close"
    spared = 1 if closed and api is OLLAMA else 0
    ends = [data.index(event) + len(event) - spared for event in events]
    return Response(
        data=data,
        head=len(top),
        tokens=(ends[0], ends[1]),
        whole=ends[2] if closed else ends[-1],
    )


def assert_truthful(exchange: Exchange, expected: Response, cut: int, *, streaming: bool) -> None:
    """Check one exchange: complete with the marker, and failed without it."""
    if cut >= expected.whole:
        assert exchange.status == 200
        if streaming:
            assert exchange.is_complete
            assert exchange.text == "w0 w1 "
        else:
            assert json.loads(exchange.raw)["choices"][0]["message"]["content"] == "w0 w1 "
        return
    has_begun = streaming and cut >= expected.head
    assert exchange.status == (200 if has_begun else 502)
    error = failure(exchange, expected.text_at(cut) if has_begun else None)
    assert error["code"] == "upstream_eof"


@pytest.mark.parametrize(
    ("streaming", "then"), [(True, "close"), (True, "reset"), (False, "close")]
)
async def test_an_answer_that_dies_at_any_byte_is_whole_or_a_failure(
    upstream: PlayedUpstream, streaming: bool, then: str
) -> None:
    expected = response(upstream.api, then)
    cuts = iter(range(len(expected.data) + 1))
    mark = secrets.token_hex(4)
    answers: dict[int, Exchange] = {}

    async def play(peer: RawPeer, request: bytes) -> None:
        found = CUT.search(request)
        assert found is not None
        await saying(expected.data[: int(found[1])], then=then)(peer, request)

    async def ask() -> None:
        for cut in cuts:
            body = {"prompt": f"{SECRET} <{cut}>", "model": "m", "stream": streaming}
            trace = {"X-Request-Id": f"{mark}.{cut}"}
            got = await client.post("/v1/chat/completions", json=body, headers=trace)
            answers[cut] = exchange = Exchange()
            exchange.status, exchange.raw = got.status_code, got.content

    with trio.fail_after(60):
        async with (
            upstream.playing(play),
            httpx.AsyncClient(
                base_url=upstream.server.url,
                headers=KEY,
                timeout=None,  # noqa: S113 - the test's own deadline holds
                trust_env=False,
                verify=NOBODY,
            ) as client,
            trio.open_nursery() as nursery,
        ):
            for _ in range(AT_ONCE):
                nursery.start_soon(ask)
    assert len(answers) == len(expected.data) + 1
    for cut, exchange in answers.items():
        assert_truthful(exchange, expected, cut, streaming=streaming)
    upstream.assert_idle()
    # The log, which a thread writes, comes after the answers.
    wait_until(lambda: told(upstream, "stream_end", mark) == len(answers))
    assert told(upstream, "stream_failed", mark) == expected.whole
    assert SECRET not in upstream.server.log_path.read_text("utf-8")


def told(upstream: PlayedUpstream, event: str, mark: str) -> int:
    """Return how often the log tells of an event in the requests with a mark."""
    lines = upstream.server.log()
    return sum(line["event"] == event and line["trace"].startswith(mark) for line in lines)
