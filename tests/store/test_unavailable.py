"""A database that cannot be used says so in a sentence, in bounded time, and works again after."""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from jarvis_trio.errors import ConfigError, StoreUnavailableError
from jarvis_trio.store import bounded_psycopg, sql_database
from jarvis_trio.store.base import Place
from jarvis_trio.store.sql import SQLStore
from tests.store.postgres import PostgreSQL, find_programs, running_postgres
from tests.store.writes import OWNER, SESSION, begin, end, told

BOUND_SECONDS = 2 * (sql_database.WAIT_SECONDS + bounded_psycopg.ANSWER_SECONDS)
"""No call takes longer, however slow the machine that runs this."""

READS: list[Callable[[SQLStore], object]] = [
    lambda store: store.sessions(None, limit=1),
    lambda store: store.sessions(OWNER, limit=1, after=Place(1.0, "", ""), search="x"),
    lambda store: store.session(None, SESSION),
    lambda store: store.messages(OWNER, SESSION),
    lambda store: store.last_messages(OWNER, SESSION, limit=1),
]
CALLS: list[Callable[[SQLStore], object]] = [
    *READS,
    lambda store: store.open(),
    lambda store: store.apply([begin("A")]),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jarvis.db"


@pytest.fixture
def sqlite_store(path: Path) -> Iterator[SQLStore]:
    """An empty SQLite database that is open."""
    store = SQLStore(f"sqlite:///{path}")
    store.open()
    yield store
    store.close()


@pytest.fixture
def fragile_postgres() -> Iterator[PostgreSQL]:
    """A PostgreSQL that a test may break."""
    programs = find_programs()
    if programs is None:
        pytest.skip("see the reason of the other tests: there is no PostgreSQL")
    with running_postgres(programs) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less long than users do, for what will not come."""
    monkeypatch.setattr(sql_database, "WAIT_SECONDS", 1)
    monkeypatch.setattr(bounded_psycopg, "ANSWER_SECONDS", 2)


def refuses(store: SQLStore, call: Callable[[SQLStore], object] | None = None) -> str:
    """Check that a call is refused in time, and return the sentence."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError) as refused:
        (call or (lambda store: store.apply([begin("A")])))(store)
    assert time.monotonic() - began < BOUND_SECONDS
    sentence = refused.value.message
    assert sentence.startswith(f"{store.name} is unavailable: ")
    assert "secret" not in f"{sentence} {refused.value.__cause__}"
    assert "\n" not in sentence
    return sentence


def test_a_locked_database_is_refused_in_time_and_works_after(path: Path, impatient: None) -> None:
    store = SQLStore(f"sqlite:///{path}")
    store.open()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "locked" in refuses(store)
        for read in READS:
            read(store)  # nobody who reads has to wait for one who writes
        other.execute("ROLLBACK")
    other.close()
    store.apply([begin("A", "hello"), end("A")])
    assert told(store) == ["1 user hello", "2 assistant answer"]
    store.close()


def test_a_database_that_is_free_again_in_time_is_waited_for(
    sqlite_store: SQLStore, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    timer.start()
    sqlite_store.apply([begin("A", "hello")])
    assert told(sqlite_store) == ["1 user hello", "2 assistant "]
    timer.join()
    other.close()


def test_whoever_reads_for_long_keeps_nobody_from_writing(
    sqlite_store: SQLStore, path: Path
) -> None:
    sqlite_store.apply([begin("A", "hello")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM messages").fetchone() == (2,)
        sqlite_store.apply([end("A"), begin("B")])
        assert other.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    assert len(told(sqlite_store)) == 4


def test_a_batch_of_which_one_write_fails_is_not_done_at_all(sql_store: SQLStore) -> None:
    sql_store.apply([begin("A", "hello")])
    with pytest.raises(AttributeError):
        sql_store.apply([end("A"), begin("B"), begin("C", session_id="another", title=None)])
    assert told(sql_store) == ["1 user hello", "2 assistant "]
    sql_store.apply([end("A")])
    assert told(sql_store) == ["1 user hello", "2 assistant answer"]


def test_a_full_disk_is_refused_and_works_again_when_there_is_room(sqlite_store: SQLStore) -> None:
    engine = sqlite_store._database.engine
    sqlite_store.apply([begin("A", "hello")])
    pages = 1

    @event.listens_for(engine, "checkout")
    def bound(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    assert "full" in refuses(sqlite_store, lambda store: store.apply([end("A", "x" * 100_000)]))
    assert told(sqlite_store) == ["1 user hello", "2 assistant "]
    pages = 1_000_000
    sqlite_store.apply([end("A", "x" * 100_000)])
    assert len(told(sqlite_store)[1]) > 100_000


def test_a_database_that_may_only_be_read_is_refused(sqlite_store: SQLStore, path: Path) -> None:
    sqlite_store.apply([begin("A", "hello")])
    sqlite_store.close()
    store = SQLStore(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert "readonly" in refuses(store)
    assert told(store) == ["1 user hello", "2 assistant "]
    store.close()


@pytest.mark.parametrize("call", CALLS)
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    path: Path, call: Callable[[SQLStore], object]
) -> None:
    path.write_bytes(b"my diary. " * 1000)
    store = SQLStore(f"sqlite:///{path}")
    assert "not a database" in refuses(store, call)
    store.close()
    assert path.read_bytes() == b"my diary. " * 1000


def test_a_damaged_database_is_refused(sqlite_store: SQLStore, path: Path) -> None:
    sqlite_store.apply([begin(str(n), "hello" * 1000) for n in range(50)])
    sqlite_store.close()  # which moves all of it from the log to the file
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert "malformed" in refuses(sqlite_store, lambda store: store.messages(OWNER, SESSION))
    assert "malformed" in refuses(sqlite_store)


@pytest.mark.parametrize("call", CALLS)
def test_a_directory_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[SQLStore], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").write_text("a file", "ascii")
    refuses(SQLStore("sqlite:///var/jarvis.db"), call)
    refuses(SQLStore(f"sqlite:///{tmp_path}/missing/jarvis.db"), call)


def test_the_directory_of_a_relative_path_is_made_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SQLStore("sqlite:///var/deep/jarvis.db")
    assert store.name == "sqlite var/deep/jarvis.db"
    store.open()
    store.apply([begin("A")])
    store.close()
    assert (tmp_path / "var" / "deep" / "jarvis.db").is_file()
    assert (tmp_path / "var" / "deep").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("call", CALLS)
def test_a_postgresql_that_is_not_there_is_refused(call: Callable[[SQLStore], object]) -> None:
    pytest.importorskip("psycopg")
    store = SQLStore("postgresql://me:secret@127.0.0.1:1/jarvis")  # nothing listens on port 1
    assert store.name == "postgresql 127.0.0.1/jarvis"
    assert "refused" in refuses(store, call)
    store.close()


def test_a_postgresql_that_goes_and_comes_back_is_used_again(postgres: PostgreSQL) -> None:
    with closing(SQLStore(postgres.new_database())) as store:
        store.open()
        store.apply([begin("A", "hello")])
        with postgres.closed_to(store._database.engine.url.database):
            for call in CALLS:
                refuses(store, call)
        store.apply([end("A")])
        assert told(store) == ["1 user hello", "2 assistant answer"]


def test_a_postgresql_that_was_away_while_nobody_asked_is_not_missed(postgres: PostgreSQL) -> None:
    with closing(SQLStore(postgres.new_database())) as store:
        store.open()
        with postgres.closed_to(store._database.engine.url.database):
            pass
        store.apply([begin("A", "hello")])
        assert told(store) == ["1 user hello", "2 assistant "]


def test_a_postgresql_that_is_locked_is_refused_in_time_and_works_after(
    postgres: PostgreSQL, impatient: None
) -> None:
    with closing(SQLStore(postgres.new_database())) as store:
        store.open()
        with store._database.writing():  # another server's batch that does not end
            assert "timeout" in refuses(store)
            for read in READS:
                read(store)
        store.apply([begin("A", "hello")])
        assert told(store) == ["1 user hello", "2 assistant "]


def test_a_postgresql_that_stands_still_is_refused_in_time_and_works_after(
    fragile_postgres: PostgreSQL, impatient: None
) -> None:
    with closing(SQLStore(fragile_postgres.new_database())) as store:
        store.open()
        store.apply([begin("A", "hello")])
        reads = store._database.engine
        with reads.connect() as connection, fragile_postgres.standing_still():
            refuses(store)  # finds that its connection is of no use, and gets no other
            refuses(store, READS[0])
            with pytest.raises(OperationalError, match="not answered in 2 s"):
                connection.exec_driver_sql("SELECT 1")
        store.apply([end("A")])
        assert told(store) == ["1 user hello", "2 assistant answer"]


def test_no_error_repeats_a_prompt(sql_store: SQLStore) -> None:
    sql_store.apply([begin("A", "my diary")])
    with sql_store._database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE messages RENAME COLUMN usage TO used")
    write = begin("B", "my diary", title="my diary")
    assert "diary" not in refuses(sql_store, lambda store: store.apply([write]))
    with pytest.raises(StoreUnavailableError) as refused:
        sql_store.apply([write])
    assert "diary" not in str(refused.value.__cause__)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "mysql://me:secret@host/db",
        "postgresql+psycopg2://me:secret@host/db",
        "postgresql://me:secret@host:port/db",
        "me:secret@host",
        "secret",
    ],
)
def test_an_unusable_url_is_a_sentence_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SQLStore(url)
    assert "secret" not in refused.value.message


def test_a_missing_driver_is_a_sentence_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jarvis_trio.store.bounded_psycopg", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match="pip install 'jarvis-trio\\[postgres\\]'"):
        SQLStore("postgresql://me:secret@host/db")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_postgresql_is_reached_by_each_of_its_names(postgres: PostgreSQL, scheme: str) -> None:
    url = postgres.new_database().replace("postgresql", scheme, 1)
    with closing(SQLStore(url)) as store:
        store.open()
        store.apply([begin("A", "hello")])
        assert told(store) == ["1 user hello", "2 assistant "]


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_what_is_written_after_its_file_has_gone_is_in_the_file_that_is_there(
    tmp_path: Path, how: str
) -> None:
    """A connection goes on with a file that has no name any more, and all of it would be lost."""
    path = tmp_path / "jarvis.db"
    store = SQLStore(f"sqlite:///{path}")
    store.open()
    store.apply([begin("A"), end("A")])
    for file in tmp_path.iterdir():
        file.unlink()
    if how == "replaced":
        path.touch()
    with pytest.raises(StoreUnavailableError):
        store.apply([begin("B"), end("B")])
    store.open()  # which is what the engine does when it tries again
    store.apply([begin("B"), end("B")])
    store.close()
    again = SQLStore(f"sqlite:///{path}")
    again.open()
    assert [message.stream_id for message in again.messages(OWNER, SESSION)] == ["B", "B"]
    again.close()
