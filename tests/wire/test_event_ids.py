"""Numbers for events: the same bytes but for the ids, however they are split."""

import re
from itertools import pairwise

import hypothesis
import pytest
from hypothesis import strategies as st

from jarvis_trio.events import Text, Usage
from jarvis_trio.wire.event_ids import EventNumbers, split_events
from jarvis_trio.wire.openai.frames import PING, ChatChunkEncoder
from jarvis_trio.wire.sse import SSEDecoder

AWKWARD = "\n\nid: 7\n\ndata: no\r\n\n\u2028: é"


def answer() -> bytes:
    """A whole answer, with pings in it, and in its text all that might be taken wrong."""
    encoder = ChatChunkEncoder("str_1", "m", 0, include_usage=True)
    frames = [encoder.opening(), PING, encoder.deltas([Text(AWKWARD)]), encoder.deltas([Text("b")])]
    return b"".join([*frames, PING, PING, encoder.finish("stop", Usage(1, 2))])


@hypothesis.given(st.lists(st.integers(0, len(answer())), max_size=20), st.integers(0, 10**12))
def test_split_anywhere_each_event_gets_the_next_number_and_nothing_else_is_changed(
    cuts: list[int], after: int
) -> None:
    whole = answer()
    numbers = EventNumbers(after)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[begin:end] for begin, end in pairwise(edges)]
    numbered = b"".join(numbers.feed(piece) for piece in pieces)
    assert re.sub(rb"^id: \d+\n", b"", numbered, flags=re.MULTILINE) == whole
    events = SSEDecoder().feed(numbered)
    assert [event.id for event in events] == [str(after + n) for n in range(1, len(events) + 1)]
    assert [event.data for event in events] == [event.data for event in SSEDecoder().feed(whole)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_in_pieces_of_a_few_bytes_too(size: int) -> None:
    whole = answer()
    numbers = EventNumbers(0)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert b"".join(map(numbers.feed, pieces)) == EventNumbers(0).feed(whole)


def test_an_event_has_its_number_with_its_first_byte() -> None:
    """So a client that is cut off within it knows which it was."""
    numbers = EventNumbers(41)
    assert numbers.feed(b"d") == b"id: 42\nd"
    assert numbers.feed(b"ata: x\n") == b"ata: x\n"
    assert numbers.feed(b"") == b""
    assert numbers.feed(b"\nd") == b"\nid: 43\nd"


def test_frames_are_made_of_the_events_that_a_client_counts() -> None:
    encoder = ChatChunkEncoder("str_1", "m", 0, include_usage=True)
    frames = encoder.opening() + encoder.deltas([Text(AWKWARD)]) + encoder.finish("stop", Usage())
    events = split_events(frames)
    assert b"".join(events) == frames
    assert len(events) == len(SSEDecoder().feed(frames)) == 5
    assert split_events(b"") == []
