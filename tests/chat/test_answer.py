"""What an answer says, however its bytes are cut."""

import pytest

from jarvis_trio.chat.answer import AnswerDecoder, Failure
from jarvis_trio.events import Reasoning, Text
from tests.chat.scripted_server import DONE, GOOD_END, chunk, event, failure

WHOLE = (
    chunk("", role="assistant")
    + b": ping\n\n"
    + chunk(reasoning_content="Hm.")
    + chunk("Gr\u00fc\u00dfe, ")
    + chunk("you.")
    + GOOD_END
)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_answer_is_read_however_it_is_cut(size: int) -> None:
    decoder = AnswerDecoder()
    pieces = []
    for at in range(0, len(WHOLE), size):
        pieces += decoder.feed(WHOLE[at : at + size])
    assert pieces == [Reasoning("Hm."), Text("Grüße, "), Text("you.")]
    assert decoder.failure is None
    assert decoder.finish_reason == "stop"


@pytest.mark.parametrize("bytes_", [b"", chunk("a"), chunk("a", finish="stop"), chunk("a") + DONE])
def test_an_answer_without_both_its_ends_is_cut(bytes_: bytes) -> None:
    decoder = AnswerDecoder()
    decoder.feed(bytes_)
    assert decoder.failure is not None
    assert decoder.failure.code == "cut"


def test_an_errors_frame_is_the_failure() -> None:
    decoder = AnswerDecoder()
    assert decoder.feed(chunk("a") + failure("stopped", "Stop was pressed") + DONE) == [Text("a")]
    assert decoder.failure == Failure("stopped", "Stop was pressed")


@pytest.mark.parametrize("error", ["gone", {"message": 7}, ["x"], 7])
def test_an_error_in_any_shape_is_one(error: object) -> None:
    decoder = AnswerDecoder()
    decoder.feed(event({"error": error}) + DONE)
    assert decoder.failure is not None
    assert decoder.failure.message


@pytest.mark.parametrize(
    "bytes_", [b"data: {\n\n", b'data: {"choices": 7}\n\n', b"data: " + b"x" * 5_000_000]
)
def test_what_is_no_answer_ends_the_reading(bytes_: bytes) -> None:
    decoder = AnswerDecoder()
    assert decoder.feed(chunk("a") + b"".join([bytes_, b"\n\n"])) in ([], [Text("a")])
    assert decoder.feed(GOOD_END) == []
    assert not decoder.is_readable
    assert decoder.failure is not None
    assert decoder.failure.code == "unreadable"


def test_behind_the_end_nothing_is_read() -> None:
    decoder = AnswerDecoder()
    assert decoder.feed(GOOD_END + chunk("more")) == []
