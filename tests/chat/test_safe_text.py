"""Nothing that a model writes is a command to a terminal."""

import sys

from jarvis_trio.chat.safe_text import safe, safe_line


def test_no_character_that_moves_a_cursor_or_turns_a_line_is_left() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = safe(everything)
    assert "\x1b" not in left
    unprintable = {each for each in left if ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0}
    assert unprintable == {"\n", "\t"}
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029") & set(left)
    left.encode()


def test_what_is_harmless_stays() -> None:
    text = "Grüße, 世界 👩\u200d💻 e\u0301\n\tif a < b: [bold]x[/bold]"
    assert safe(text) == text


def test_an_escape_is_seen_and_does_nothing() -> None:
    assert safe("\x1b[2J\r\n") == "␛[2J\n"


def test_a_line_is_one_line() -> None:
    assert safe_line(" a\n\nb\tc\u2028d ") == "a b c d"
