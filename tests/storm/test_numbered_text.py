"""What can be wrong with a text whose words are numbered and named."""

import pytest

from jarvis_trio.storm.numbered_text import what_is_wrong
from jarvis_trio.storm.sim.shapes import text_of


def test_the_mock_upstreams_own_text_is_right() -> None:
    assert what_is_wrong(text_of(5, "me"), "me", 5) is None
    assert what_is_wrong("", "me", 0) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("w0@me w1@me ", "1 of 3 words are missing, first w2@me"),
        ("w0@me w2@me ", "1 of 3 words are missing, first w1@me"),
        ("", "3 of 3 words are missing, first w0@me"),
        ("w0@me w1@me w1@me w2@me ", "w1@me came 2 times"),
        ("w0@me w1@you w2@me ", "w1@you came, of another answer"),
        ("w0@me w1@me w2@me w0@you ", "w0@you came, of another answer"),
        ("w0@me w1@me w2@me w3@me ", "w3@me came, which nobody said"),
        ("w0@mew1@me w2@me ", "w0@mew1@me came, which nobody said"),
        ("w0@me w2@me w1@me ", "the words came out of order"),
    ],
)
def test_each_fault_has_its_words(text: str, what: str) -> None:
    assert what_is_wrong(text, "me", 3) == what
