"""Text from elsewhere, made fit for a terminal: it moves no cursor and sends no command."""

from typing import Final

_BIDI: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Turn a line round, so that it reads as what it is not."""

_SURROGATES: Final = range(0xD800, 0xE000)

_TABLE: Final[dict[int, str | None]] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    **dict.fromkeys((0x7F, *range(0x80, 0xA0), *_BIDI, *_SURROGATES), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((0x2028, 0x2029), "\n"),
    ord("\r"): None,
    ord("\n"): "\n",
    ord("\t"): "\t",
}


def safe(text: str) -> str:
    """Return the text with control characters made visible; line feeds and tabs stay.

    What one character becomes depends on no other: a text may come in pieces.
    """
    return text.translate(_TABLE)


def safe_line(text: str) -> str:
    """Return the text as one line."""
    return " ".join(safe(text).split())
