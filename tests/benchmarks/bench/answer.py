"""What an answer says, found out once all have been read."""

import re

import httptools
from msgspec import Struct

from tests.benchmarks.bench.tokens import WORD, Asked, text

_CONTENT = re.compile(rb'"content": ?"((?: tok\d+)+)"')
_OVERLAP = len(WORD) - 1


class Answer(Struct, frozen=True):
    """An answer's tokens, read by read, and what is wrong with it, if anything."""

    reads: list[tuple[int, int]]
    """For each read that brought text: its moment in nanoseconds, and how many tokens."""

    fault: str | None

    @property
    def tokens(self) -> int:
        """Count what came."""
        return sum(count for _, count in self.reads)


class _Body:
    """What httptools finds in the bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_complete = False

    def on_body(self, data: bytes) -> None:
        self.data += data

    def on_message_complete(self) -> None:
        self.is_complete = True


def answer_of(asked: Asked, received: list[tuple[int, bytes]], failure: str | None) -> Answer:
    """Return what came, and whether it is the whole answer, in order, with its end marker."""
    body = _Body()
    parser = httptools.HttpResponseParser(body)
    reads: list[tuple[int, int]] = []
    for at_ns, data in received:
        begin = max(len(body.data) - _OVERLAP, 0)
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            return Answer(reads, f"it is not HTTP: {error}")
        if count := body.data.count(WORD, begin):
            reads.append((at_ns, count))
    if not failure and (status := parser.get_status_code()) != 200:
        failure = f"status {status}"
    return Answer(reads, failure or _fault(asked, body))


def _fault(asked: Asked, body: _Body) -> str | None:
    said = b"".join(_CONTENT.findall(body.data)).decode()
    if said.strip() != text(asked.tokens).strip():
        return f"its text is not what the model said: {said[-100:]!r}"
    if not body.data.rstrip().endswith(b"data: [DONE]"):
        return f"it does not end as it should: {bytes(body.data[-100:])!r}"
    return None if body.is_complete else "the connection was closed before its end"
