"""The contract of ``DeltaDecoder``, run on every implementation."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.errors import JarvisError, UpstreamEOFError, UpstreamError, WireError
from jarvis_trio.events import Delta, Finish, Reasoning, Text, ToolCall, Usage
from jarvis_trio.wire import ollama
from jarvis_trio.wire.decoding import DeltaDecoder
from jarvis_trio.wire.openai import upstream
from tests.wire.material import almost, as_json, cut, cuts, quick

TRICKY = "é\u2028\u2029\x85 😀\r\n"


@dataclass(frozen=True)
class Format:
    """One upstream's format: how to say the same answer in it."""

    name: str
    make: Callable[[int], DeltaDecoder]
    texts: bytes
    end: bytes
    error: bytes
    line: Callable[[bytes], bytes]
    garbage: st.SearchStrategy[bytes]


def sse(value: object) -> bytes:
    return b"data: " + as_json(value) + b"\r\n\r\n"


def line(value: object) -> bytes:
    return as_json(value) + b"\n"


def chunk(delta: object, reason: str | None = None) -> object:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


OPENAI = Format(
    "openai",
    upstream.ChatDecoder,
    b": ping\n\n"
    + sse(chunk({"role": "assistant", "content": None}))
    + sse(chunk({"reasoning_content": "hm"}))
    + sse(chunk({"content": TRICKY}))
    + sse(chunk({"content": "b"})),
    sse(chunk({}, "stop"))
    + sse({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    + b"data: [DONE]\n\n",
    sse({"error": {"message": "out of memory", "code": 500}}),
    lambda data: b"data: " + data + b"\n\n",
    almost(
        "choices", "delta", "content", "reasoning", "tool_calls", "function", "arguments", "index",
        "id", "finish_reason", "usage", "prompt_tokens", "error", "message", "object", "stop",
    ).map(as_json),
)  # fmt: skip

OLLAMA = Format(
    "ollama",
    ollama.ChatDecoder,
    line({"message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False})
    + line({"message": {"role": "assistant", "content": TRICKY}, "done": False})
    + line({"message": {"role": "assistant", "content": "b"}, "done": False}),
    line(
        {
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 3,
            "eval_count": 2,
        }
    ),
    line({"error": "out of memory"}),
    lambda data: data + b"\n",
    almost(
        "message", "content", "thinking", "tool_calls", "function", "arguments", "name", "id",
        "done", "done_reason", "eval_count", "error", "stop",
    ).map(as_json),
)  # fmt: skip

EXPECTED: list[Delta] = [Reasoning("hm"), Text(TRICKY), Text("b")]
LIMIT = 4096
every_format = pytest.mark.parametrize("wire", [OPENAI, OLLAMA], ids=lambda wire: wire.name)


def run(
    wire: Format, pieces: list[bytes], limit: int = LIMIT
) -> tuple[list[Delta], bool, type[JarvisError] | None]:
    """Feed the pieces, end, and return what came out: deltas, ``ended``, the error's kind."""
    decoder = wire.make(limit)
    deltas: list[Delta] = []
    for piece in pieces:
        deltas += decoder.feed(piece)
    deltas += decoder.finish()
    kind = None if decoder.error is None else type(decoder.error)
    assert decoder.ended is (kind is None)
    assert sum(isinstance(delta, Finish) for delta in deltas) <= 1
    assert not decoder.ended or Finish in map(type, deltas)
    assert decoder.feed(wire.texts) == []
    assert decoder.finish() == []
    return deltas, decoder.ended, kind


@every_format
def test_a_whole_answer_is_its_deltas_one_finish_and_its_usage(wire: Format) -> None:
    assert run(wire, [wire.texts + wire.end]) == (
        [*EXPECTED, Finish("stop"), Usage(3, 2)],
        True,
        None,
    )


@every_format
def test_one_byte_at_a_time_gives_the_same_deltas(wire: Format) -> None:
    sent = wire.texts + wire.end
    assert run(wire, [bytes([byte]) for byte in sent]) == run(wire, [sent])


@every_format
@quick
@given(data=st.data())
def test_any_split_gives_the_same_deltas_and_the_same_fault(
    wire: Format, data: st.DataObject
) -> None:
    part = st.one_of(
        st.sampled_from([wire.texts, wire.texts, wire.end, wire.error, b"\xc3", b"\r", b"\n\n"]),
        wire.garbage.map(wire.line),
        st.binary(max_size=20),
    )
    sent = b"".join(data.draw(st.lists(part, max_size=5)))
    limit = data.draw(st.sampled_from([80, LIMIT]))
    assert run(wire, cut(sent, data.draw(cuts)), limit) == run(wire, [sent], limit)


@every_format
def test_an_end_of_the_bytes_before_the_end_marker_is_never_a_clean_end(wire: Format) -> None:
    for length in range(len(wire.texts)):
        deltas, ended, error = run(wire, [wire.texts[:length]])
        assert not ended
        assert error is UpstreamEOFError
        assert deltas == EXPECTED[: len(deltas)]


@every_format
def test_an_empty_answer_is_an_end_without_a_marker(wire: Format) -> None:
    assert run(wire, []) == ([], False, UpstreamEOFError)


@every_format
def test_an_error_frame_is_a_failure_with_its_message_after_the_deltas_before_it(
    wire: Format,
) -> None:
    decoder = wire.make(LIMIT)
    assert decoder.feed(wire.texts + wire.error + wire.texts) == EXPECTED
    assert type(decoder.error) is UpstreamError
    assert decoder.error.message == "out of memory"
    assert not decoder.ended


@every_format
@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense",
        b"{",
        b"NaN",
        b"[1]",
        b'{"x":"\xff"',
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
        b'{"usage":{"prompt_tokens":"1"},"eval_count":"1"}',
        b'{"choices":[{"delta":{"content":"\xe2\x82"}}],"message":{"content":"\xe2\x82"}}',
        b'{"choices":[{"delta":{"content":"\\ud800"}}],"message":{"content":"\\ud800"}}',
        b'{"choices":[{"delta":{"content":["a"]}}],"message":{"content":["a"]}}',
    ],
)
def test_malformed_bytes_are_a_fault_after_the_deltas_before_them(wire: Format, bad: bytes) -> None:
    decoder = wire.make(1_000_000)
    assert decoder.feed(wire.texts + wire.line(bad) + wire.texts) == EXPECTED
    assert type(decoder.error) is WireError
    assert not decoder.ended


@every_format
@pytest.mark.parametrize("apart", [True, False])
def test_an_endless_line_is_a_fault_after_the_deltas_before_it(wire: Format, apart: bool) -> None:
    decoder = wire.make(300)
    endless = b"data: " + b"x" * 400
    pieces = [wire.texts, endless] if apart else [wire.texts + endless]
    assert [delta for piece in pieces for delta in decoder.feed(piece)] == EXPECTED
    assert type(decoder.error) is WireError
    assert "300 bytes" in decoder.error.message


@every_format
@quick
@given(sent=st.lists(st.binary(max_size=60), max_size=5))
def test_arbitrary_bytes_are_our_error_and_never_an_exception(
    wire: Format, sent: list[bytes]
) -> None:
    run(wire, sent)


@every_format
@quick
@given(data=st.data())
def test_json_that_is_almost_right_is_our_error_and_never_an_exception(
    wire: Format, data: st.DataObject
) -> None:
    frames = data.draw(st.lists(wire.garbage, max_size=4))
    run(wire, [wire.line(frame) for frame in frames] + data.draw(st.sampled_from([[], [wire.end]])))


@every_format
def test_what_follows_the_end_marker_is_ignored(wire: Format) -> None:
    decoder = wire.make(LIMIT)
    deltas = decoder.feed(wire.texts + wire.end + wire.error + b"x" * (LIMIT + 1) + wire.texts)
    assert deltas == [*EXPECTED, Finish("stop"), Usage(3, 2)]
    assert decoder.ended
    assert decoder.error is None


@every_format
@quick
@given(text=st.text(st.characters(codec="utf-8"), min_size=1), places=cuts)
def test_any_text_arrives_as_it_was_sent(wire: Format, text: str, places: list[int]) -> None:
    message = {"content": text}
    sent = {**chunk(message), "message": message}  # type: ignore[dict-item]  # an object is what it is
    deltas, _, _ = run(wire, cut(wire.line(as_json(sent)) + wire.end, places), 1_000_000)
    assert deltas[0] == Text(text)


@every_format
def test_tool_calls_end_with_the_reason_tool_calls(wire: Format) -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    message = {"tool_calls": [call]}
    sent = as_json({"choices": [{"delta": message}], "message": message})
    end = b"data: [DONE]\n\n" if wire is OPENAI else wire.end
    deltas, _, _ = run(wire, [wire.line(sent), end])
    assert deltas[:2] == [ToolCall(0, "c1", "f", "{}"), Finish("tool_calls")]
