"""A turn that takes the place of an earlier one, in every store."""

import pytest

from jarvis_trio.events import Message
from jarvis_trio.store.base import ReplaceTurns, SetTitle, Store, Write
from tests.store.writes import OWNER, SESSION, begin, end, remove, the_answer, told


def replace(stream: str, session_id: str = SESSION) -> ReplaceTurns:
    return ReplaceTurns(OWNER, session_id, stream)


def turns(store: Store) -> str:
    """Return the streams that a conversation consists of, in their order."""
    return "".join(dict.fromkeys(m.stream_id for m in store.messages(OWNER, SESSION)))


def before(store: Store, replaced: str) -> str:
    """Return the streams that a turn which replaces this one would be told of."""
    found = store.last_messages(OWNER, SESSION, limit=99, replaced=replaced)
    return "".join(dict.fromkeys(m.stream_id for m in found))


@pytest.fixture(autouse=True)
def three_turns(store: Store) -> None:
    store.apply([write for stream in "ABC" for write in (begin(stream), end(stream))])


def test_until_it_takes_its_place_a_turn_is_one_more(store: Store) -> None:
    store.apply([begin("D", replaces="B")])
    assert turns(store) == "ABCD"
    assert [m.replaces for m in store.messages(OWNER, SESSION)] == [None] * 6 + ["B"] * 2


def test_what_it_replaces_goes_and_all_behind_it(store: Store) -> None:
    store.apply([begin("D", replaces="B"), replace("D"), end("D", "new")])
    assert told(store) == [
        "1 user prompt of A",
        "2 assistant answer",
        "7 user prompt of D",
        "8 assistant new",
    ]


def test_what_a_turn_in_its_place_is_told_ends_before_it(store: Store) -> None:
    assert [before(store, replaced) for replaced in "ABCX"] == ["", "A", "AB", "ABC"]
    found = store.last_messages(OWNER, SESSION, limit=1, replaced="C")
    assert [m.seq for m in found] == [4]
    assert store.last_messages(OWNER, "another", limit=9, replaced="C") == []
    assert store.last_messages("another", SESSION, limit=9, replaced="C") == []


def test_an_unknown_turn_is_replaced_by_nothing(store: Store) -> None:
    store.apply([begin("K", session_id="another"), begin("D", replaces="K"), replace("D")])
    assert turns(store) == "ABCD"
    assert told(store, "another") == ["1 user prompt of K", "2 assistant "]


def test_one_that_failed_is_replaced_with_what_it_was_to_replace(store: Store) -> None:
    store.apply([begin("D", replaces="B"), end("D", "")])
    assert before(store, "D") == "A"
    store.apply([begin("E", replaces="D")])
    assert the_answer(store).replaces == "B"
    store.apply([replace("E")])
    assert turns(store) == "AE"


def test_what_is_gone_already_means_what_stands_for_it(store: Store) -> None:
    """As in a request that is sent again."""
    store.apply([begin("D", replaces="B"), replace("D"), end("D")])
    assert before(store, "B") == "A"
    store.apply([begin("E", replaces="B"), replace("E")])
    assert turns(store) == "AE"


@pytest.mark.parametrize(
    "write", [replace("C"), replace("X"), replace("D", "another"), ReplaceTurns("x", SESSION, "D")]
)
def test_what_replaces_nothing_or_is_not_there_takes_nothing_out(
    store: Store, write: ReplaceTurns
) -> None:
    store.apply([begin("D", replaces="B"), write])
    assert turns(store) == "ABCD"


def test_a_turn_that_is_gone_takes_nothing_out(store: Store) -> None:
    store.apply([begin("D", replaces="B"), remove("D"), replace("D")])
    assert turns(store) == "ABC"


def test_a_turn_whose_successor_has_begun_takes_nothing_out(store: Store) -> None:
    store.apply([begin("D", replaces="B"), begin("E"), replace("D")])
    assert turns(store) == "ABCDE"


def test_a_batch_that_is_applied_again_brings_nothing_back(store: Store) -> None:
    batch: list[Write] = [begin("D"), end("D"), begin("E", replaces="D"), replace("E"), end("E")]
    batch += [begin("F"), end("F")]
    store.apply(batch)
    assert turns(store) == "ABCEF"
    before = told(store)
    store.apply(batch)
    assert told(store) == before


def test_no_number_is_given_twice(store: Store) -> None:
    store.apply([begin("D", replaces="A"), replace("D"), begin("E")])
    assert [m.seq for m in store.messages(OWNER, SESSION)] == [7, 8, 9, 10]


def test_a_title_that_is_the_first_prompts_stays_that(store: Store) -> None:
    store.apply([begin("1", "one", session_id="t", title="one"), end("1", session_id="t")])
    store.apply([begin("2", "two", session_id="t"), end("2", session_id="t")])
    store.apply([begin("3", "three", session_id="t", replaces="2"), replace("3", "t")])
    titles = [store.session(OWNER, "t")]
    again = begin("4", Message("system", "x"), " a  longer\none ", session_id="t", replaces="1")
    store.apply([again, replace("4", "t")])
    titles.append(store.session(OWNER, "t"))
    assert [found and found.title for found in titles] == ["one", "a longer one"]


def test_a_title_that_was_given_stays(store: Store) -> None:
    store.apply([SetTitle(OWNER, SESSION, "mine", 3.0), begin("D", replaces="A"), replace("D")])
    assert turns(store) == "D"
    session = store.session(OWNER, SESSION)
    assert session is not None
    assert session.title == "mine"


@pytest.mark.parametrize("nasty", ["NUL\0", "\ud800", "'; --", "\ud83d\ude00"])
def test_a_name_that_no_database_can_keep_does_not_poison_a_write(store: Store, nasty: str) -> None:
    store.apply([begin("D", replaces=nasty), replace("D"), end("D")])
    assert turns(store) == "ABCD"
    assert before(store, nasty) in ("ABC", "ABCD")
