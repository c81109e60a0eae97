"""The lower end of a terminal, drawn again and again."""

import random

import pytest
from rich.cells import cell_len

from jarvis_trio.chat.screen import Row, Screen
from tests.chat.emulator import Emulator


def rows(*texts: str) -> list[Row]:
    return [Row(text, cell_len(text)) for text in texts]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_changes_the_terminal_shows_it_below_all_that_stays(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    terminal, screen, stays = Emulator(width=20, height=8), Screen(), list[str]()
    for _ in range(200):
        above = [_some_text(chance) for _ in range(chance.choice((0, 0, 0, 1, 3, 12)))]
        live = [_some_text(chance) for _ in range(chance.randint(0, 6))]
        typed = chance.choice(("> ", "> a", "> b", "> 世界"))
        column = chance.randint(0, cell_len(typed))
        terminal.feed(screen.draw(rows(*above), rows(*live, typed), column, 20))
        stays += above
        assert terminal.text.split("\n") == [each.rstrip() for each in (*stays, *live, typed)]
        assert (terminal.row, terminal.column) == (len(stays) + len(live), column)


def _some_text(chance: random.Random) -> str:
    return chance.choice(("", "a", "bb", "x" * 19, "y" * 20, "世" * 10, "z " * 8))


def test_nothing_is_sent_when_nothing_changes_and_little_when_a_key_is_pressed() -> None:
    screen = Screen()
    screen.draw([], rows(*["long" * 10] * 10, "> a"), 3, 80)
    assert screen.draw([], rows(*["long" * 10] * 10, "> a"), 3, 80) == ""
    assert "long" not in screen.draw([], rows(*["long" * 10] * 10, "> ab"), 4, 80)
    assert "long" not in screen.draw([], rows(*["long" * 10] * 10, "> ab"), 3, 80)


def test_a_terminal_that_has_become_narrower_is_drawn_from_where_its_rows_now_begin() -> None:
    screen, wide, narrow = Screen(), rows("x" * 20, "y" * 20, "> "), rows("x" * 10, "> ")
    screen.draw([], wide, 2, 20)
    assert "\x1b[4A" in screen.draw([], narrow, 2, 10)


def test_what_is_cleared_leaves_what_stays_and_an_empty_row() -> None:
    terminal, screen = Emulator(), Screen()
    terminal.feed(screen.draw(rows("stays"), rows("live", "> typed"), 2, 80))
    terminal.feed(screen.clear(rows("the last")))
    assert terminal.text == "stays\nthe last\n"
