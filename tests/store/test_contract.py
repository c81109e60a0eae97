"""What every store does, run on each of them."""

import pytest
from msgspec.structs import replace

from jarvis_trio.events import Cause, Completion, Message, ToolCall, Usage
from jarvis_trio.store import pages
from jarvis_trio.store.base import (
    DeleteSession,
    EndTurn,
    Place,
    RemoveTurn,
    SetTitle,
    State,
    Store,
    StoredMessage,
    StoredSession,
    Write,
)
from tests.store.writes import (
    FULL_ANSWER,
    FULL_MESSAGE,
    OWNER,
    SESSION,
    begin,
    end,
    remove,
    the_answer,
    told,
)


def titles(found: list[StoredSession]) -> list[str]:
    return [session.title for session in found]


def test_a_turn_that_has_begun_counts_as_interrupted_until_it_ends(store: Store) -> None:
    store.apply([begin("A", "hello")])
    assert store.sessions(OWNER, limit=9) == [StoredSession(OWNER, SESSION, "title of A", 1.0, 1.0)]
    assert store.messages(OWNER, SESSION) == [
        StoredMessage(1, "user", "hello", "A", 1.0),
        StoredMessage(2, "assistant", "", "A", 1.0, state=State.INTERRUPTED),
    ]


def test_a_turn_that_has_ended_has_its_answer(store: Store) -> None:
    store.apply([begin("A"), end("A", answer=FULL_ANSWER)])
    assert the_answer(store) == StoredMessage(
        2,
        "assistant",
        "text",
        "A",
        1.0,
        State.COMPLETE,
        tool_calls=(ToolCall(0, "call_2", "f", "{}"),),
        reasoning="reasoning",
        finish_reason="tool_calls",
        usage=Usage(3, 5),
        cause=Cause.COMPLETED,
    )


def test_every_field_of_a_prompt_but_the_clients_own_object_is_kept(store: Store) -> None:
    store.apply([begin("A", FULL_MESSAGE)])
    kept, _ = store.messages(OWNER, SESSION)
    back = Message(kept.role, kept.text, kept.images, kept.tool_calls, kept.tool_call_id, kept.name)
    assert back == replace(FULL_MESSAGE, sent={})
    assert kept.state is State.COMPLETE


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("cause", list(Cause))
def test_every_ending_is_kept_as_it_was(store: Store, state: State, cause: Cause) -> None:
    store.apply([begin("A"), end("A", state=state, cause=cause)])
    kept = the_answer(store)
    assert (kept.state, kept.cause) == (state, cause)


def test_times_come_back_to_the_last_digit(store: Store) -> None:
    at, later = 1763669012.1234567, 1763669013.7654321
    store.apply([begin("A", at=at), end("A", at=later)])
    found = store.session(OWNER, SESSION)
    assert found is not None
    assert (found.created_at, found.updated_at) == (at, later)
    assert the_answer(store).created_at == at


def test_a_new_session_keeps_all_that_was_sent_and_later_turns_what_is_new(store: Store) -> None:
    store.apply([begin("A", "one", "two", new_from=1), end("A", "three")])
    store.apply([begin("B", "one", "two", "three", "four", "five", new_from=3)])
    assert told(store) == [
        "1 user one",
        "2 user two",
        "3 assistant three",
        "4 user four",
        "5 user five",
        "6 assistant ",
    ]


def test_a_turn_may_bring_nothing_new(store: Store) -> None:
    store.apply([begin("A", "one"), end("A")])
    store.apply([begin("B", "one", new_from=1), end("B", "again")])
    assert told(store) == ["1 user one", "2 assistant answer", "3 assistant again"]


def test_a_session_keeps_its_first_title_and_the_time_it_was_made(store: Store) -> None:
    store.apply([begin("A", at=1.0), begin("B", at=5.0)])
    assert store.session(OWNER, SESSION) == StoredSession(OWNER, SESSION, "title of A", 1.0, 5.0)


@pytest.mark.parametrize(
    "late",
    [
        end("X", "never asked"),
        end("A", "after its successor began"),
        end("B", "a second time"),
        end("B", owner="somebody else"),
        end("B", session_id="another"),
    ],
    ids=["unknown", "superseded", "ended", "another owner's", "another session's"],
)
def test_a_late_end_changes_nothing(store: Store, late: EndTurn) -> None:
    store.apply([begin("A"), begin("B"), end("B")])
    before = store.sessions(None, limit=9), store.messages(OWNER, SESSION)
    store.apply([replace(late, at=99.0)])
    assert (store.sessions(None, limit=9), store.messages(OWNER, SESSION)) == before


def test_a_superseded_end_changes_nothing_while_its_successor_runs(store: Store) -> None:
    store.apply([begin("A"), begin("B"), end("A", at=99.0)])
    assert told(store) == [
        "1 user prompt of A",
        "2 assistant ",
        "3 user prompt of B",
        "4 assistant ",
    ]
    store.apply([end("B")])
    assert the_answer(store).text == "answer"


def test_an_end_changes_nothing_when_its_successor_has_begun_and_gone(store: Store) -> None:
    store.apply([begin("A"), begin("B"), remove("B"), end("A", at=99.0)])
    assert told(store) == ["1 user prompt of A", "2 assistant "]
    assert the_answer(store).cause is None


def test_an_end_fills_the_answer_and_not_a_prompt_that_came_with_it(store: Store) -> None:
    store.apply([begin("A", "p", Message("assistant", "old")), end("A", "new")])
    assert told(store) == ["1 user p", "2 assistant old", "3 assistant new"]


def test_a_turn_that_is_removed_leaves_the_others(store: Store) -> None:
    store.apply([begin("A"), end("A"), begin("B"), end("B"), begin("C"), end("C"), remove("B")])
    assert [(m.seq, m.stream_id) for m in store.messages(OWNER, SESSION)] == [
        (1, "A"),
        (2, "A"),
        (5, "C"),
        (6, "C"),
    ]


def test_no_number_is_given_twice(store: Store) -> None:
    """A reader that pages by ``after`` would miss what has the number of what it has seen."""
    store.apply([begin("A"), remove("A"), begin("B"), begin("C"), remove("C"), begin("D")])
    assert [m.seq for m in store.messages(OWNER, SESSION)] == [3, 4, 7, 8]


def test_a_session_without_messages_stays_and_takes_the_next_turns_title(store: Store) -> None:
    store.apply([begin("A", at=1.0), SetTitle(OWNER, SESSION, "mine", 2.0), remove("A")])
    assert store.sessions(OWNER, limit=9) == [StoredSession(OWNER, SESSION, "mine", 1.0, 2.0)]
    assert store.messages(OWNER, SESSION) == store.last_messages(OWNER, SESSION, limit=9) == []
    store.apply([end("A"), begin("B", "one", "two", new_from=1, at=3.0)])
    assert store.sessions(OWNER, limit=9) == [StoredSession(OWNER, SESSION, "title of B", 1.0, 3.0)]
    assert told(store) == ["3 user one", "4 user two", "5 assistant "]


@pytest.mark.parametrize(
    "write",
    [
        remove("B"),
        RemoveTurn("somebody else", SESSION, "A"),
        RemoveTurn(OWNER, "another", "A"),
        SetTitle("somebody else", SESSION, "x", 9.0),
        SetTitle(OWNER, "another", "x", 9.0),
        DeleteSession("somebody else", SESSION),
        DeleteSession(OWNER, "another"),
    ],
)
def test_what_is_not_there_is_not_changed_or_made(store: Store, write: RemoveTurn) -> None:
    store.apply([begin("A")])
    before = store.sessions(None, limit=9), store.messages(OWNER, SESSION)
    store.apply([write])
    assert (store.sessions(None, limit=9), store.messages(OWNER, SESSION)) == before


def test_a_title_is_changed_and_counts_as_an_update(store: Store) -> None:
    store.apply([begin("A"), SetTitle(OWNER, SESSION, "mine", 7.0), begin("B", at=8.0)])
    assert store.session(OWNER, SESSION) == StoredSession(OWNER, SESSION, "mine", 1.0, 8.0)


def test_a_deleted_session_is_gone_with_its_messages(store: Store) -> None:
    store.apply([begin("A"), end("A"), begin("K", session_id="kept")])
    store.apply([DeleteSession(OWNER, SESSION)])
    assert store.session(OWNER, SESSION) is None
    assert store.messages(OWNER, SESSION) == []
    assert [found.id for found in store.sessions(None, limit=9)] == ["kept"]
    assert told(store, "kept") == ["1 user prompt of K", "2 assistant "]


def test_a_deleted_session_stays_deleted_whatever_ends_late(store: Store) -> None:
    store.apply([begin("A"), DeleteSession(OWNER, SESSION)])
    store.apply([end("A"), remove("A"), SetTitle(OWNER, SESSION, "x", 9.0)])
    assert store.sessions(None, limit=9) == []
    store.apply([begin("B", at=5.0), end("A", "late")])
    assert store.sessions(None, limit=9) == [StoredSession(OWNER, SESSION, "title of B", 5.0, 5.0)]
    assert told(store) == ["1 user prompt of B", "2 assistant "]


def test_a_batch_that_is_applied_again_changes_nothing(store: Store) -> None:
    """A connection that breaks in the middle of a commit does not say whether it was one."""
    batch: list[Write] = [begin("A"), end("A"), begin("B"), end("B"), begin("C", new_from=1)]
    store.apply(batch)
    before = store.sessions(None, limit=9), store.messages(OWNER, SESSION)
    store.apply(batch)
    assert (store.sessions(None, limit=9), store.messages(OWNER, SESSION)) == before


def test_a_batch_that_is_applied_again_brings_nothing_back_and_fences_nothing(store: Store) -> None:
    batch: list[Write] = [begin("A"), end("A"), begin("B"), remove("B"), begin("C")]
    store.apply(batch)
    before = store.messages(OWNER, SESSION)
    store.apply(batch)
    assert store.messages(OWNER, SESSION) == before
    store.apply([end("C")])
    assert the_answer(store).text == "answer"


def test_one_id_of_two_owners_is_two_sessions(store: Store) -> None:
    store.apply([begin("A", "a", owner="x", at=2.0), begin("B", "b", owner="y", at=1.0)])
    assert [m.text for m in store.messages("x", SESSION)] == ["a", ""]
    assert [m.text for m in store.messages("y", SESSION)] == ["b", ""]
    assert store.session("y", SESSION) == StoredSession("y", SESSION, "title of B", 1.0, 1.0)
    assert store.session("z", SESSION) is None


def test_whoever_sees_everything_gets_the_last_updated_of_one_id(store: Store) -> None:
    store.apply([begin("A", owner="x", at=2.0), begin("B", owner="y", at=1.0)])
    assert titles([s for s in [store.session(None, SESSION)] if s]) == ["title of A"]
    store.apply([end("B", owner="y", at=3.0)])
    assert titles([s for s in [store.session(None, SESSION)] if s]) == ["title of B"]
    assert store.session(None, "another") is None


def fill(store: Store) -> list[StoredSession]:
    """Make sessions of two owners, many of them of one time, and return them in their order."""
    made = [
        StoredSession(owner, f"{name}{number}", f"title of {owner}", 1.0, float(number // 3))
        for owner in ("x", "Y")
        for name in "aBé"
        for number in range(9)
    ]
    store.apply(
        [
            begin(s.owner, owner=s.owner, session_id=s.id, at=time)
            for s in made
            for time in (s.created_at,)
        ]
    )
    store.apply([SetTitle(s.owner, s.id, s.title, s.updated_at) for s in made])
    return sorted(made, key=lambda s: (-s.updated_at, s.owner, s.id))


@pytest.mark.parametrize("owner", [None, "x", "Y", "nobody"])
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_paging_gives_every_session_once_and_in_order(
    store: Store, owner: str | None, limit: int
) -> None:
    expected = [s for s in fill(store) if owner in (None, s.owner)]
    found: list[StoredSession] = []
    after = None
    while page := store.sessions(owner, limit=limit, after=after):
        assert len(page) <= limit
        found += page
        after = Place(page[-1].updated_at, page[-1].owner, page[-1].id)
    assert found == expected


def test_a_place_may_be_of_a_session_that_is_gone_or_of_another_owner(store: Store) -> None:
    expected = fill(store)
    after = Place(1.0, "Z", "zzz")
    mine = [s for s in expected if s.owner == "x"]
    assert store.sessions("x", limit=99, after=after) == [
        s for s in mine if (-s.updated_at, s.owner, s.id) > (-1.0, "Z", "zzz")
    ]
    assert store.sessions(None, limit=99, after=Place(-1.0, "", "")) == []


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["100% sure", "a_b", "aXb", "c:\\dir", "Größe ÉTÉ", "It's a [b]"]),
        ("%", ["100% sure"]),
        ("_", ["a_b"]),
        ("a_B", ["a_b"]),
        ("AXB", ["aXb"]),
        ("\\", ["c:\\dir"]),
        ("\\d", ["c:\\dir"]),
        ("größe", ["Größe ÉTÉ"]),
        ("GRößE", ["Größe ÉTÉ"]),
        ("été", []),
        ("GRÖßE", []),
        ("'", ["It's a [b]"]),
        ("[B]", ["It's a [b]"]),
        ("[a-z]", []),
        ("*", []),
        ("nothing like it", []),
        ("x" * 100_000, []),
        ("\0", []),
        ("\ud800", []),
    ],
)
def test_a_search_finds_titles_that_hold_it_as_it_is_in_any_case(
    store: Store, search: str, found: list[str]
) -> None:
    every = ["100% sure", "a_b", "aXb", "c:\\dir", "Größe ÉTÉ", "It's a [b]"]
    store.apply(
        [begin("A", session_id=str(n), title=title, at=-n) for n, title in enumerate(every)]
    )
    assert titles(store.sessions(OWNER, limit=99, search=search)) == found
    assert titles(store.sessions(None, limit=99, search=search)) == found
    assert store.sessions("nobody", limit=99, search=search) == []


def test_a_search_is_paged_like_the_list(store: Store) -> None:
    store.apply([begin("A", session_id=str(n), title=f"{n % 2} of two", at=n) for n in range(10)])
    page = store.sessions(OWNER, limit=3, search="1 OF")
    after = Place(page[-1].updated_at, page[-1].owner, page[-1].id)
    assert [s.id for s in page] == ["9", "7", "5"]
    assert [s.id for s in store.sessions(OWNER, limit=3, after=after, search="1 OF")] == ["3", "1"]


def test_messages_are_paged_by_their_numbers(store: Store) -> None:
    store.apply([begin(str(n), "p") for n in range(5)] + [remove("2")])
    assert [m.seq for m in store.messages(OWNER, SESSION, limit=3)] == [1, 2, 3]
    assert [m.seq for m in store.messages(OWNER, SESSION, limit=3, after=3)] == [4, 7, 8]
    assert [m.seq for m in store.messages(OWNER, SESSION, after=8)] == [9, 10]
    assert store.messages(OWNER, SESSION, after=10) == []


def test_messages_are_paged_from_the_last_on_too(store: Store) -> None:
    store.apply([begin(str(n), "p") for n in range(5)] + [remove("2")])
    newest = store.messages(OWNER, SESSION, newest_first=True)
    assert newest == store.messages(OWNER, SESSION)[::-1]
    pages: list[list[int]] = []
    after = None
    while page := store.messages(OWNER, SESSION, limit=3, after=after, newest_first=True):
        pages.append([m.seq for m in page])
        after = page[-1].seq
    assert pages == [[10, 9, 8], [7, 4, 3], [2, 1]]
    assert store.messages(OWNER, "another", newest_first=True) == []


def test_the_last_messages_come_in_their_order(store: Store) -> None:
    store.apply([begin(str(n), "p") for n in range(3)])
    assert [m.seq for m in store.last_messages(OWNER, SESSION, limit=4)] == [3, 4, 5, 6]
    assert [m.seq for m in store.last_messages(OWNER, SESSION, limit=99)] == [1, 2, 3, 4, 5, 6]
    assert store.last_messages(OWNER, "another", limit=4) == []


NASTY = {
    "NUL\0s": "NUL\N{REPLACEMENT CHARACTER}s",
    "half \ud83d": "half \N{REPLACEMENT CHARACTER}",
    "other half \ude00": "other half \N{REPLACEMENT CHARACTER}",
    "\ud83d\ude00": "\N{GRINNING FACE}",
    "'; DROP TABLE sessions; --": "'; DROP TABLE sessions; --",
    "%(x)s :y ? $1 {z}": "%(x)s :y ? $1 {z}",
    "\ufeff\u2028\r\n\x01": "\ufeff\u2028\r\n\x01",
}


@pytest.mark.parametrize(("nasty", "kept"), NASTY.items(), ids=range(len(NASTY)))
def test_text_that_no_database_can_keep_does_not_poison_a_write(
    store: Store, nasty: str, kept: str
) -> None:
    call, kept_call = ToolCall(0, nasty, nasty, nasty), ToolCall(0, kept, kept, kept)
    message = Message(nasty, nasty, (nasty,), (call,), nasty, nasty)
    answer = Completion(nasty, nasty, (call,))
    store.apply([begin("A", message, title=nasty), end("A", answer=answer), begin("B")])
    prompt, told, *_ = store.messages(OWNER, SESSION)
    assert prompt == StoredMessage(
        1, kept, kept, "A", 1.0, State.COMPLETE, (kept,), (kept_call,), kept, kept
    )
    assert (told.text, told.reasoning, told.tool_calls) == (kept, kept, (kept_call,))
    assert titles(store.sessions(OWNER, limit=9, search=nasty)) == [kept]
    store.apply([SetTitle(OWNER, SESSION, f"{nasty}!", 9.0)])
    assert titles(store.sessions(OWNER, limit=9)) == [f"{kept}!"]


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_what_is_looked_up_by_words_that_cannot_be_kept_is_not_there(
    store: Store, nasty: str
) -> None:
    store.apply([begin("A")])
    assert store.session(None, nasty) is None
    assert store.session(nasty, SESSION) is None
    assert store.messages(nasty, nasty) == store.last_messages(nasty, nasty, limit=9) == []
    assert store.sessions(nasty, limit=9) == []
    assert store.sessions(None, limit=9, after=Place(0.0, nasty, nasty)) == []
    store.apply([DeleteSession(nasty, nasty), RemoveTurn(OWNER, SESSION, nasty)])
    assert len(store.messages(OWNER, SESSION)) == 2


@pytest.mark.parametrize("count", [0, 2**31, 2**53 - 1, 2**63, 10**30])
def test_no_count_of_tokens_poisons_a_write(store: Store, count: int) -> None:
    store.apply([begin("A"), end("A", answer=Completion(usage=Usage(count, count)))])
    usage = the_answer(store).usage
    assert usage is not None
    assert usage.prompt_tokens == usage.completion_tokens == min(count, 2**53 - 1)


def test_a_long_answer_comes_back_whole(store: Store) -> None:
    text = "ünï " * 500_000
    store.apply([begin("A", text), end("A", text)])
    assert [m.text for m in store.messages(OWNER, SESSION)] == [text, text]


@pytest.mark.parametrize("newest_first", [False, True])
def test_no_page_holds_much_more_than_its_share_of_text(
    store: Store, newest_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_CHARS", 100)
    store.apply([write for n in "abcd" for write in (begin(n, "x" * 60), end(n, "x" * 60))])
    store.apply([begin("e", "x" * 1000)])
    seen: list[list[int]] = []
    after, has_more = None, True
    while has_more:
        found = store.messages(OWNER, SESSION, limit=9, after=after, newest_first=newest_first)
        assert len(found) <= 3
        page, has_more = pages.a_page_of(found, 8)
        seen.append([message.seq for message in page])
        after = page[-1].seq
    expected = (
        [[10, 9], [8, 7], [6, 5], [4, 3], [2, 1]]
        if newest_first
        else [
            [1, 2],
            [3, 4],
            [5, 6],
            [7, 8],
            [9],
            [10],
        ]
    )
    assert seen == expected


def test_a_batch_of_nothing_changes_nothing(store: Store) -> None:
    store.apply([])
    assert store.sessions(None, limit=9) == []


def test_a_store_may_be_opened_and_closed_twice(store: Store) -> None:
    store.open()
    store.apply([begin("A")])
    store.close()
    store.close()


def test_a_name_tells_where_it_is(store: Store) -> None:
    assert store.name.split()[0] in ("memory", "sqlite", "postgresql")
    assert "secret" not in store.name
