"""The line being typed."""

import pytest
from rich.cells import cell_len

from jarvis_trio.chat.editor import MOST_LINES, Editor, Shown
from jarvis_trio.chat.keys import Key


def typed(*keys: Key | str) -> Editor:
    editor = Editor()
    for key in keys:
        if isinstance(key, Key):
            editor.press(key)
        else:
            editor.insert(key)
    return editor


def test_text_goes_where_the_cursor_is() -> None:
    assert typed("bd", Key.LEFT, "c", Key.HOME, "a", Key.END, "e").text == "abcde"
    assert typed("b", Key.LEFT, Key.LEFT, "a", Key.RIGHT, Key.RIGHT, "c").text == "abc"


def test_erasing() -> None:
    assert typed("abc", Key.BACKSPACE, Key.HOME, Key.BACKSPACE, Key.DELETE).text == "b"
    assert typed("one two  ", Key.KILL_WORD).text == "one "
    assert typed("one\ntwo", Key.KILL_WORD).text == "one\n"
    assert typed("one two", Key.LEFT, Key.KILL_LINE).text == "o"
    assert typed("one two", Key.LEFT, Key.KILL_REST).text == "one tw"
    assert typed(Key.BACKSPACE, Key.DELETE, Key.KILL_WORD).text == ""


def test_a_character_and_its_marks_are_one() -> None:
    assert typed("ae\u0301", Key.BACKSPACE).text == "a"
    assert typed("e\u0301a", Key.HOME, Key.DELETE).text == "a"
    assert typed("e\u0301a", Key.HOME, Key.RIGHT, "-").text == "e\u0301-a"


def test_former_lines_come_back_and_so_does_the_one_being_typed() -> None:
    editor = typed("one")
    assert editor.take() == "one"
    assert editor.text == ""
    editor.insert("two")
    editor.take()
    editor.insert("thr")
    seen = []
    for key in (Key.UP, Key.UP, Key.UP, Key.DOWN, Key.DOWN, Key.DOWN):
        editor.press(key)
        seen.append(editor.text)
    assert seen == ["two", "one", "one", "two", "thr", "thr"]


def test_a_line_is_kept_once_and_only_so_many_are() -> None:
    editor = Editor()
    for line in (*map(str, range(MOST_LINES + 10)), "last", "last", "  "):
        editor.insert(line)
        editor.take()
    for _ in range(MOST_LINES + 20):
        editor.press(Key.UP)
    assert editor.text == "11"


def test_what_is_shown_fits_and_holds_the_cursor() -> None:
    editor = typed("世界" * 50 + "a\x1b\tb\n" * 20)
    for _ in range(len(editor.text) + 1):
        shown = editor.shown(20)
        assert cell_len(shown.text) < 20
        assert 0 <= shown.column <= cell_len(shown.text)
        assert shown.text.isprintable()
        editor.press(Key.LEFT)
    assert shown.column == 0
    assert shown.text.startswith("世界")


@pytest.mark.parametrize("width", [-1, 0, 1])
def test_where_nothing_fits_nothing_is_shown(width: int) -> None:
    editor = typed("typed")
    for key in (Key.LEFT, Key.HOME):
        editor.press(key)
        assert editor.shown(width) == Shown("", 0)


def test_the_end_of_a_long_line_is_shown_while_it_is_typed() -> None:
    shown = typed("x" * 100 + "end").shown(20)
    assert shown.text.endswith("xend")
    assert shown.column == 19
