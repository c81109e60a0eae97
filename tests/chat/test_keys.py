"""What a terminal sends, read as keys."""

import pytest

from jarvis_trio.chat.keys import Key, KeyDecoder, Typed


def read(*bursts: bytes) -> list[Key | Typed]:
    decoder = KeyDecoder()
    return [key for burst in bursts for key in decoder.feed(burst)]


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (b"\r", Key.ENTER),
        (b"\n", Key.ENTER),
        (b"\x03", Key.INTERRUPT),
        (b"\x04", Key.END_OF_INPUT),
        (b"\x1a", Key.SUSPEND),
        (b"\x7f", Key.BACKSPACE),
        (b"\x1b[A", Key.UP),
        (b"\x1bOB", Key.DOWN),
        (b"\x1b[D", Key.LEFT),
        (b"\x1b[3~", Key.DELETE),
        (b"\x1b[H", Key.HOME),
        (b"\x1b[4~", Key.END),
        (b"\x17", Key.KILL_WORD),
    ],
)
def test_keys_are_known(sent: bytes, key: Key) -> None:
    assert read(sent) == [key]
    assert read(b"a" + sent + sent) == [Typed("a"), key, key]


@pytest.mark.parametrize(
    "sent", [b"\x1b", b"\x1b[", b"\x1b[1;5P", b"\x1bx", b"\x00", b"\x1b\x1b[99z"]
)
def test_keys_that_are_not_known_do_nothing(sent: bytes) -> None:
    assert read(sent, b"a") == [Typed("a")]


def test_text_is_text_and_a_character_may_be_cut() -> None:
    assert read("Grüße 世\t界".encode()) == [Typed("Grüße 世\t界")]
    assert read(b"\xc3", b"\xbc") == [Typed("ü")]


def test_enter_ends_a_line_and_alt_enter_makes_another() -> None:
    assert read(b"one\r") == [Typed("one"), Key.ENTER]
    assert read(b"one\x1b\rtwo\r") == [Typed("one\ntwo"), Key.ENTER]


def test_lines_that_come_together_are_one_text() -> None:
    assert read(b"one\rtwo\r\rthree\r") == [Typed("one\ntwo\n\nthree"), Key.ENTER]
    assert read(b"\rone") == [Typed("\none")]
    assert read(b"one\r", b"two\r") == [Typed("one"), Key.ENTER, Typed("two"), Key.ENTER]


def test_enter_before_another_key_is_enter() -> None:
    assert read(b"one\r\x03") == [Typed("one"), Key.ENTER, Key.INTERRUPT]
    assert read(b"one\r\x03two") == [Typed("one"), Key.ENTER, Key.INTERRUPT, Typed("two")]


PASTE = b"\x1b[200~one\r\n\x03two\rthree\n\x1b[201~"


def test_a_paste_is_text_whatever_it_holds_and_does_not_end_the_line() -> None:
    assert read(b"> " + PASTE + b"\r") == [Typed("> one\n\x03two\nthree"), Key.ENTER]


@pytest.mark.parametrize("at", range(6, len(PASTE)))
def test_a_paste_may_be_cut_anywhere_behind_its_beginning(at: int) -> None:
    assert read(PASTE[:at], PASTE[at:]) == [Typed("one\n\x03two\nthree")]
