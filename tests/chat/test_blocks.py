"""Markdown as it grows: what is finished stays finished, and nothing is lost."""

import random

import pytest

from jarvis_trio.chat.blocks import MOST_OPEN_CHARACTERS, Block, GrowingMarkdown

TEXT = """\
# Title

A paragraph
of two lines.

- an item

  its second paragraph
- another

```python
def f():

    return 1
```
behind the code

````
```
````
the end"""

BLOCKS = [
    "# Title",
    "A paragraph\nof two lines.",
    "- an item\n\n  its second paragraph\n- another",
    "```python\ndef f():\n\n    return 1\n```",
    "behind the code",
    "````\n```\n````",
    "the end",
]


@pytest.mark.parametrize("seed", range(20))
def test_blocks_are_the_same_however_the_text_is_cut(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    growing, blocks, rest = GrowingMarkdown(), [], TEXT
    while rest:
        at = chance.randint(1, 12)
        blocks += growing.feed(rest[:at])
        rest = rest[at:]
    blocks += growing.finish()
    assert blocks == [Block(each) for each in BLOCKS]
    assert growing.open == ""


def test_what_is_not_finished_is_open() -> None:
    growing = GrowingMarkdown()
    assert growing.feed("one\n\ntw") == []
    assert growing.open.endswith("tw")
    assert growing.feed("o\n\nthree") == [Block("one")]
    assert growing.feed("\n") == [Block("two")]


def test_a_paragraph_without_end_is_cut_between_words_and_loses_nothing() -> None:
    growing, text = GrowingMarkdown(), "word " * 5000
    blocks = growing.feed(text)
    assert len(growing.open) <= MOST_OPEN_CHARACTERS
    assert all(len(block.source) <= MOST_OPEN_CHARACTERS for block in blocks)
    whole = " ".join(block.source for block in [*blocks, *growing.finish()])
    assert whole.split() == text.split()


def test_a_word_without_end_is_cut_too() -> None:
    growing = GrowingMarkdown()
    blocks = growing.feed("x" * 100_000)
    assert len(growing.open) <= MOST_OPEN_CHARACTERS
    assert "".join(block.source for block in [*blocks, *growing.finish()]) == "x" * 100_000


@pytest.mark.parametrize("line", ["a line of code", "x" * 9000])
def test_code_without_end_is_cut_into_fences_of_its_kind(line: str) -> None:
    growing = GrowingMarkdown()
    blocks = growing.feed("```python\n" + f"{line}\n" * 1000)
    assert all(len(block.source) < 2 * MOST_OPEN_CHARACTERS for block in blocks)
    assert all(block.source.startswith("```python\n") for block in blocks)
    assert all(block.source.endswith("\n```") for block in blocks)
    assert growing.open.startswith("```python")
    bodies = [block.source[10:-4] for block in blocks]
    assert "".join(bodies).replace("\n", "") in (line * 1000)


def test_the_next_answer_begins_outside_of_the_code_of_the_last() -> None:
    growing = GrowingMarkdown()
    growing.feed("```\ncode")
    assert growing.finish() == [Block("```\ncode")]
    growing.feed("one\n\ntwo")
    assert growing.finish() == [Block("one"), Block("two")]
