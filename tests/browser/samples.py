"""Texts as models write them, with all that may be too wide, too long or too much."""

LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 4
ADDRESS = "https://example.com/" + "a-path-without-an-end/" * 12
LONG_LINE = "def function_with_a_name(" + ", ".join(f"parameter_{n}: int" for n in range(30)) + ")"
CODE = f"""```python
# numbers the words of a text
{LONG_LINE}:
    return {{word: number for number, word in enumerate("a b c".split())}}
```"""
TABLE = "\n".join(
    [
        "| " + " | ".join(f"Column {n}" for n in range(9)) + " |",
        "|" + " --- |" * 9,
        *("| " + " | ".join(f"value_{row}_{n}" for n in range(9)) + " |" for row in range(3)),
    ]
)
RICH = f"""# A heading

A paragraph with **bold**, *italics*, `code`, ~~what is no more~~ and [a link](https://example.com).

> A quotation, with {LONG_WORD}

1. One, and {ADDRESS}
2. Two
   - with `{LONG_WORD}`
   - [x] and a box

{TABLE}

{CODE}

---

The end.
"""

SECTION = """## Section {number}

Streams of tokens arrive in pieces of any size, and each piece may split a **construct** of the text
in two; number {number} says `so` as well. See [the section before](https://example.com/{number}).

- one thing of section {number}
- another, with *emphasis*
  - and one below it

```python
def section_{number}(words: list[str]) -> dict[str, int]:
    \"\"\"Count the words of section {number}.\"\"\"
    return {{word: words.count(word) for word in words}}
```

| name | value |
| --- | --- |
| number | {number} |
| next | {number}0 |

"""


def long_text(characters: int) -> str:
    """Return a text of that many characters, with the constructs that models use."""
    text = ""
    number = 0
    while len(text) < characters:
        number += 1
        text += SECTION.format(number=number)
    return text[:characters]


def paragraphs(first: int, count: int) -> str:
    """Return numbered paragraphs, each a few lines high."""
    return "".join(
        f"Paragraph {number}: {'some more words of it, ' * 12}and its end.\n\n"
        for number in range(first, first + count)
    )
