"""No query looks at more than it returns: plans, and the list of 100,000 sessions, measured."""

import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from jarvis_trio.store.base import Place, RemoveTurn, ReplaceTurns, Write
from jarvis_trio.store.sql import SQLStore
from jarvis_trio.store.sql_tables import sessions
from tests.store.writes import OWNER, SESSION, begin, end

A_PLACE = Place(5.0, OWNER, "s")
SESSIONS = 100_000
OWNERS = 100
MEDIAN_MS = 20


def plans(store: SQLStore, call: Callable[[], object]) -> list[str]:
    """Return how SQLite does each statement of a call, a line for each step."""
    statements: list[tuple[str, Any]] = []
    engine = store._database.engine

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    call()
    event.remove(engine, "before_cursor_execute", note)
    steps = []
    with engine.connect() as connection:
        for statement, parameters in statements:
            if re.match("SELECT|UPDATE|DELETE", statement):
                explained = f"EXPLAIN QUERY PLAN {statement}"
                steps += [row[3] for row in connection.exec_driver_sql(explained, parameters)]
    assert steps
    return steps


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLStore]:
    """A database with a turn in it, so that there is something to be looked up."""
    made = SQLStore(f"sqlite:///{tmp_path}/jarvis.db")
    made.open()
    made.apply([begin("A"), end("A")])
    yield made
    made.close()


@pytest.mark.parametrize("after", [None, A_PLACE])
@pytest.mark.parametrize("search", ["", "x"])
@pytest.mark.parametrize(
    ("owner", "index"), [(None, "sessions_by_time"), (OWNER, "sessions_by_owner")]
)
def test_a_list_is_read_along_an_index_and_from_where_it_is_wanted(
    store: SQLStore, owner: str | None, index: str, search: str, after: Place | None
) -> None:
    (step,) = plans(
        store, lambda: store.sessions(owner, limit=9, after=after, search=search)
    )  # a sort would be a step of its own
    assert f"USING INDEX {index}" in step
    assert ("updated_at<" in step) == (after is not None)
    assert ("owner=" in step) == (owner is not None)


@pytest.mark.parametrize("owner", [None, OWNER])
def test_a_session_is_looked_up_by_its_id(store: SQLStore, owner: str | None) -> None:
    search, *_ = plans(store, lambda: store.session(owner, SESSION))
    assert search.startswith("SEARCH sessions USING INDEX sessions_by_id (id=?")


READS: list[tuple[Callable[[SQLStore], object], str]] = [
    (lambda store: store.messages(OWNER, SESSION, limit=9), "(session=?)"),
    (lambda store: store.messages(OWNER, SESSION, limit=9, after=3), "(session=? AND seq>?)"),
    (lambda store: store.messages(OWNER, SESSION, limit=9, newest_first=True), "(session=?)"),
    (
        lambda store: store.messages(OWNER, SESSION, limit=9, after=3, newest_first=True),
        "(session=? AND seq<?)",
    ),
    (lambda store: store.last_messages(OWNER, SESSION, limit=9), "(session=?)"),
    (
        lambda store: store.last_messages(OWNER, SESSION, limit=9, replaced="A"),
        "(session=? AND seq<?)",
    ),
]


@pytest.mark.parametrize(("read", "key"), READS, ids=range(len(READS)))
def test_messages_are_read_along_their_key(
    store: SQLStore, read: Callable[[SQLStore], object], key: str
) -> None:
    steps = plans(store, lambda: read(store))
    assert steps[0] == f"SEARCH messages USING INDEX sqlite_autoindex_messages_1 {key}"
    assert not [step for step in steps if re.search("SCAN (sessions|messages)|B-TREE", step)]


def test_the_turn_that_is_replaced_is_found_by_its_name(store: SQLStore) -> None:
    store.apply([begin("B", replaces="A")])
    for call in (
        lambda: store.last_messages(OWNER, SESSION, limit=9, replaced="A"),
        lambda: store.apply([ReplaceTurns(OWNER, SESSION, "B")]),
    ):
        steps = plans(store, call)
        for index, column in (("stream", "stream_id"), ("replaced", "replaces")):
            search = f"SEARCH messages_1 USING INDEX messages_by_{index} (session=? AND {column}=?)"
            assert search in steps
        assert not [step for step in steps if re.match("SCAN (sessions|messages)", step)]


def test_no_write_looks_at_a_whole_table(store: SQLStore) -> None:
    writes: list[Write] = [begin("B"), end("B"), RemoveTurn(OWNER, SESSION, "A"), begin("B")]
    steps = plans(store, lambda: store.apply(writes))
    assert not [step for step in steps if re.match("SCAN (sessions|messages)", step)]
    assert [step for step in steps if "messages_by_stream (session=? AND stream_id=?)" in step]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLStore]:
    """100,000 sessions, of a hundred owners, updated in no order."""
    made = SQLStore(f"sqlite:///{tmp_path_factory.mktemp('crowded')}/jarvis.db")
    made.open()
    rows = [
        {
            "owner": f"owner {number % OWNERS}",
            "id": f"session-{number}",
            "title": f"What is {number} and {number}?",
            "created_at": 1.0,
            "updated_at": float(number * 7919 % SESSIONS),
            "last_seq": 2,
            "last_stream": "A",
        }
        for number in range(SESSIONS)
    ]
    with made._database.writing() as connection:
        connection.execute(insert(sessions), rows)
    yield made
    made.close()


def median_ms(call: Callable[[], object], times: int = 50) -> float:
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return 1000 * statistics.median(durations)


@pytest.mark.alone
@pytest.mark.parametrize("owner", [None, "owner 7"])
def test_the_list_of_100_000_sessions_is_answered_in_milliseconds(
    crowded: SQLStore, owner: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The issue asks for this measurement; what was measured is printed."""
    half_way = Place(SESSIONS / 2, OWNER, "")
    first = crowded.sessions(owner, limit=50)
    assert len(first) == 50
    assert first == sorted(first, key=lambda s: -s.updated_at)
    measured = {
        "first page": median_ms(lambda: crowded.sessions(owner, limit=50)),
        "a page half way": median_ms(lambda: crowded.sessions(owner, limit=50, after=half_way)),
        "one of them": median_ms(lambda: crowded.session(owner, first[9].id)),
        "search, rare": median_ms(
            lambda: crowded.sessions(owner, limit=50, search="is 10007 AND"), 5
        ),
    }
    with capsys.disabled():
        told = ", ".join(f"{name} {ms:.2f} ms" for name, ms in measured.items())
        print(f"\n100,000 sessions in SQLite {sqlite3.sqlite_version}, {owner=}: {told}")  # noqa: T201
    assert measured["first page"] < MEDIAN_MS
    assert measured["a page half way"] < MEDIAN_MS
    assert measured["one of them"] < MEDIAN_MS
