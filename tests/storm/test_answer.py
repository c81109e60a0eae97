"""How answers are read: whole, honest, cut, broken."""

import pytest
import trio

from jarvis_trio.storm.answer import LONGEST_CODE, Answer, read_answer
from jarvis_trio.storm.call import Call

HEAD = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
EVENTS = b"text/event-stream"
JSON = b"application/json"
TEXT = b'data: {"choices":[{"delta":{"content":"w0 "},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"m","type":"t","code":"superseded"}}\n\n'
DONE = b"data: [DONE]\n\n"


def answer(body: bytes, status: int = 200, kind: bytes = EVENTS, missing: int = 0) -> Answer:
    """Read the answer whose last ``missing`` bytes never came."""
    stream, _ = trio.testing.memory_stream_pair()
    call = Call(stream, trio.socket.socket())
    with call._socket:
        call.take(HEAD % (status, kind, len(body) + missing) + body)
        call.take(b"")
        return read_answer(call)


async def test_a_stream_with_a_reason_and_its_end_is_complete() -> None:
    read = answer(TEXT + STOP + DONE)
    assert read.is_complete
    assert read.is_honest
    assert read.text == "w0 "
    assert str(read) == "HTTP 200, finish_reason stop, [DONE]"


@pytest.mark.parametrize("reason", ["error", "abort"])
@pytest.mark.parametrize("error", [b"", ERROR])
async def test_a_finish_reason_can_say_that_it_failed(reason: str, error: bytes) -> None:
    read = answer(TEXT + error + STOP.replace(b"stop", reason.encode()) + DONE)
    assert read.is_honest
    assert not read.is_complete
    assert not read.looks_whole


@pytest.mark.parametrize(("end", "told"), [(DONE, "[DONE]"), (b"", "no [DONE]")])
async def test_a_stream_that_ends_with_an_error_is_honest_but_not_complete(
    end: bytes, told: str
) -> None:
    """Client libraries raise at the error."""
    read = answer(TEXT + ERROR + end)
    assert not read.is_complete
    assert read.is_honest
    assert str(read) == f"HTTP 200, error superseded, {told}"
    assert not answer(TEXT + ERROR, missing=5).is_honest


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (TEXT + STOP, "HTTP 200, finish_reason stop, no [DONE]"),
        (TEXT + DONE, "HTTP 200, [DONE]"),
        (TEXT, "HTTP 200, no [DONE]"),
        (STOP + ERROR + DONE, "HTTP 200, error superseded, finish_reason stop, [DONE]"),
        (STOP + DONE + TEXT, "HTTP 200, finish_reason stop, [DONE], something behind [DONE]"),
    ],
)
async def test_whatever_leaves_its_reader_in_doubt_is_not_honest(body: bytes, told: str) -> None:
    read = answer(body)
    assert not read.is_honest
    assert str(read) == told


async def test_a_stream_that_is_cut_behind_its_end_is_not_complete() -> None:
    read = answer(TEXT + STOP + DONE, missing=5)
    assert read.is_cut
    assert not read.is_complete
    assert not read.is_honest


@pytest.mark.parametrize("data", [b"{no json}", b"[" * 100_000], ids=["no JSON", "too deep"])
async def test_what_cannot_be_read_is_a_fault(data: bytes) -> None:
    read = answer(b"data: " + data + b"\n\n" + STOP + DONE)
    assert read.fault is not None
    assert not read.is_honest


async def test_an_error_is_not_quoted_at_any_length() -> None:
    read = answer(b'{"error":{"code":"%b"}}' % (b"x" * 1_000_000), status=500, kind=JSON)
    assert str(read) == f"HTTP 500, error {'x' * LONGEST_CODE}"


async def test_a_refusal_is_honest_when_it_is_whole() -> None:
    body = b'{"error":{"message":"m","type":"t","code":null}}'
    assert answer(body, 503, JSON).is_honest
    assert answer(body, 503, JSON).error == "t"
    assert not answer(body, 503, JSON, missing=1).is_honest


async def test_an_answer_that_is_not_streamed_is_read_too() -> None:
    body = b'{"choices":[{"message":{"content":"w0 w1 "},"finish_reason":"length"}]}'
    read = answer(body, kind=JSON)
    assert read.is_complete
    assert read.text == "w0 w1 "
