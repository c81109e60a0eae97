"""Lines of JSON: only LF ends one, and no memory without bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.errors import WireError
from jarvis_trio.wire.ndjson import LineDecoder
from tests.wire.material import cut, cuts, quick


def decode(*pieces: bytes) -> list[bytes]:
    decoder = LineDecoder()
    return [line for piece in pieces for line in decoder.feed(piece)] + decoder.finish()


def feed_on(decoder: LineDecoder, piece: bytes) -> None:
    for _ in range(0, 5000, len(piece)):
        assert decoder.feed(piece) == []


def test_only_lf_ends_a_line() -> None:
    line = "{\u2028\u2029\x85\x0b\r}".encode()
    assert decode(line + b"\n" + line) == [line, line]


def test_one_carriage_return_before_the_lf_goes_with_it() -> None:
    assert decode(b"a\r\nb\r", b"\nc\r\r\n") == [b"a", b"b", b"c\r"]


def test_blank_lines_are_left_out() -> None:
    assert decode(b"\n\r\n  \n\ta\n\n") == [b"\ta"]


def test_a_last_line_without_lf_comes_with_the_end() -> None:
    decoder = LineDecoder()
    assert decoder.feed(b"a\nb") == [b"a"]
    assert decoder.finish() == [b"b"]
    assert decoder.finish() == []


@quick
@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b" ", b"\xff", b"{}"])).map(b"".join),
    cuts,
    st.integers(1, 20),
)
def test_any_split_gives_the_same_lines_and_the_same_fault(
    sent: bytes, places: list[int], limit: int
) -> None:
    def run(pieces: list[bytes]) -> tuple[list[bytes], bool]:
        decoder = LineDecoder(limit)
        lines: list[bytes] = []
        try:
            for piece in pieces:
                lines += decoder.feed(piece)
            lines += decoder.finish()
        except WireError:
            pass
        return lines, decoder.error is not None

    whole = run([sent])
    assert run(cut(sent, places)) == whole
    assert run([bytes([byte]) for byte in sent]) == whole


@pytest.mark.parametrize("together", [1, 100])
def test_an_endless_line_is_refused_at_the_limit(together: int) -> None:
    decoder = LineDecoder(1000)
    with pytest.raises(WireError, match="1000 bytes"):
        feed_on(decoder, b"xxxxxxx" * together)
    with pytest.raises(WireError):
        decoder.finish()


def test_lines_before_an_overflow_are_returned_and_the_next_call_raises() -> None:
    decoder = LineDecoder(3)
    assert decoder.feed(b"abc\nabcd\nabc\n") == [b"abc"]
    with pytest.raises(WireError):
        decoder.feed(b"a\n")
