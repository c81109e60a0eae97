"""Server-sent events: the WHATWG's rules, and no memory without bound."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.errors import WireError
from jarvis_trio.wire.sse import SSEDecoder, SSEEvent
from tests.wire.material import cut, cuts, quick


def decode(*pieces: bytes) -> list[SSEEvent]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def data(*pieces: bytes) -> list[bytes]:
    return [event.data for event in decode(*pieces)]


def feed_on(decoder: SSEDecoder, piece: bytes) -> None:
    for _ in range(0, 5000, len(piece)):
        assert decoder.feed(piece) == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_ends_a_line(end: bytes) -> None:
    assert data(end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])) == [b"a\nb", b"c"]


def test_a_crlf_cut_in_two_is_one_line_end() -> None:
    assert data(b"data: a\r", b"\ndata: b\r", b"", b"\n\r", b"\n") == [b"a\nb"]


def test_two_carriage_returns_are_two_line_ends_also_when_cut() -> None:
    assert data(b"data: a\r", b"\rdata: b\r\r") == [b"a", b"b"]


def test_an_event_is_there_as_soon_as_its_last_byte_is() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\r") == [SSEEvent(b"a")]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_other_unicode_line_separators_stay_inside_the_data(mark: str) -> None:
    line = f'{{"text":"a{mark}b"}}'.encode()
    assert data(b"data: " + line + b"\n\n") == [line]


def test_comments_unknown_fields_and_retry_are_nothing() -> None:
    assert decode(b": ping\n\n:\n\nretry: 5\n\nfoo: bar\n\nfoo\n\n: x\ndata: a\n: y\n\n") == [
        SSEEvent(b"a")
    ]


def test_one_space_after_the_colon_is_left_out_and_only_one() -> None:
    assert data(b"data:a\n\ndata: a\n\ndata:  a\n\n") == [b"a", b"a", b" a"]


def test_data_without_a_value_is_an_event_and_no_data_is_none() -> None:
    assert data(b"data\n\ndata:\n\ndata\ndata\n\nevent: x\n\n\n\n") == [b"", b"", b"\n"]


def test_the_event_name_holds_for_one_event_and_the_id_until_the_next() -> None:
    assert decode(
        b"event: token\nid: 7\ndata: a\n\ndata: b\n\nid: 8\n\ndata: c\n\nid\ndata: d\n\n"
    ) == [
        SSEEvent(b"a", "token", "7"),
        SSEEvent(b"b", None, "7"),
        SSEEvent(b"c", None, "8"),
        SSEEvent(b"d", None, ""),
    ]


def test_the_name_of_an_event_without_data_is_not_kept_for_the_next() -> None:
    assert decode(b"event: x\n\ndata: a\n\n") == [SSEEvent(b"a")]


def test_an_id_with_a_null_is_ignored() -> None:
    assert decode(b"id: 1\nid: 2\0\ndata: a\n\n") == [SSEEvent(b"a", None, "1")]


def test_a_byte_order_mark_at_the_start_is_left_out_also_when_cut() -> None:
    assert data(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [b"a"]
    assert data(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [b"a"]


@pytest.mark.parametrize("size", [1, 100])
def test_a_byte_order_mark_counts_towards_the_limit_however_it_is_cut(size: int) -> None:
    sent = b"\xef\xbb\xbfdata: a\n\n"
    decoder = SSEDecoder(len(sent) - 3)
    for start in range(0, len(sent), size):
        if decoder.error is None:
            with suppress(WireError):
                decoder.feed(sent[start : start + size])
    assert decoder.error is not None


def test_an_unfinished_event_is_dropped() -> None:
    assert data(b"data: a\n\ndata: b\n") == [b"a"]


def test_bytes_that_are_not_utf8_reach_the_reader_of_the_data() -> None:
    assert decode(b"event: \xff\ndata: \xff\xc3\n\n") == [SSEEvent(b"\xff\xc3", "\ufffd")]


stream = st.lists(
    st.sampled_from(
        [b"data: a", b"data:b", b"data", b"data: ", b"event: e", b"id: 1", b": c", b"x", b"\n",
         b"\n", b"\r", b"\r\n", "\u2028é".encode(), b"\xff", b"\xef\xbb\xbf", b"\n\n", b"\r\n\r\n"]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@quick
@given(stream, cuts, st.integers(5, 60))
def test_any_split_gives_the_same_events_and_the_same_fault(
    sent: bytes, places: list[int], limit: int
) -> None:
    def run(pieces: list[bytes]) -> tuple[list[SSEEvent], bool]:
        decoder = SSEDecoder(limit)
        events: list[SSEEvent] = []
        for piece in pieces:
            try:
                events += decoder.feed(piece)
            except WireError:
                break
        return events, decoder.error is not None

    whole = run([sent])
    assert run(cut(sent, places)) == whole
    assert run([bytes([byte]) for byte in sent]) == whole


@quick
@given(st.binary(max_size=200), cuts)
def test_arbitrary_bytes_are_events_or_nothing(sent: bytes, places: list[int]) -> None:
    assert decode(*cut(sent, places)) == decode(sent)


@pytest.mark.parametrize(
    "endless",
    [b"data: xxxxxxxx", b"data:\n", b"data: ab\n", b": comment\n", b"event: e\n", b"data:\r"],
)
@pytest.mark.parametrize("together", [1, 100])
def test_an_endless_event_is_refused_at_the_limit(endless: bytes, together: int) -> None:
    decoder = SSEDecoder(1000)
    with pytest.raises(WireError, match="1000 bytes"):
        feed_on(decoder, endless * together)
    with pytest.raises(WireError):
        decoder.feed(b"\n\ndata: a\n\n")


def test_the_limit_is_per_event() -> None:
    decoder = SSEDecoder(20)
    event = b"data: 0123456789\n\n"
    assert len(decoder.feed(event * 500)) == 500
    assert len(decoder.feed(b": pings\n\n" * 500 + event)) == 1


def test_events_before_an_overflow_are_returned_and_the_next_call_raises() -> None:
    decoder = SSEDecoder(20)
    assert decoder.feed(b"data: a\n\ndata: " + b"b" * 30) == [SSEEvent(b"a")]
    assert isinstance(decoder.error, WireError)
    with pytest.raises(WireError):
        decoder.feed(b"")


def test_the_default_limit_lets_four_mebibytes_through() -> None:
    half = b"data: " + b"x" * (2 * 1024 * 1024 - 20) + b"\n"
    decoder = SSEDecoder()
    assert len(decoder.feed(half * 2 + b"\n")) == 1
    with pytest.raises(WireError):
        decoder.feed(half * 3)
