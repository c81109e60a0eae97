"""Several threads and processes at one database, and processes that are killed."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from jarvis_trio.errors import StoreUnavailableError
from jarvis_trio.store.base import Store
from jarvis_trio.store.sql import SQLStore
from tests.store.writes import OWNER, SESSION, begin, end

ROOT = Path(__file__).parents[2]
THREADS = 8
MANY = 1_000_000


@contextlib.contextmanager
def writer(url: str, owner: str, turns: int) -> Iterator[subprocess.Popen[str]]:
    """Run a process that writes, and let nothing of it stay behind."""
    command = [sys.executable, "-m", "tests.store.writer", url, owner, str(turns)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def taken(store: Store, owner: str) -> set[str]:
    """Return the streams whose answers are in the store."""
    found = store.sessions(owner, limit=MANY)
    messages = [m for s in found for m in store.messages(owner, s.id)]
    return {m.stream_id for m in messages if m.text == m.stream_id}


def test_threads_that_write_to_one_session_lose_nothing(store: Store) -> None:
    turns = 25

    def write(thread: int) -> None:
        for number in range(turns):
            store.apply([begin(f"{thread}-{number}"), end(f"{thread}-{number}")])
            store.messages(OWNER, SESSION, limit=1)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(THREADS)))
    kept = store.messages(OWNER, SESSION)
    assert [m.seq for m in kept] == list(range(1, 2 * THREADS * turns + 1))
    answers = [m for m in kept if m.role == "assistant"]
    assert len({m.stream_id for m in answers}) == len(answers) == THREADS * turns
    assert {m.text for m in answers} == {"answer"}


def test_threads_that_write_to_sessions_of_their_own_lose_nothing(store: Store) -> None:
    def write(thread: int) -> None:
        for number in range(25):
            its = {"owner": str(thread), "session_id": f"{number % 5}"}
            store.apply([begin(f"{number}", **its)])
            store.apply([end(f"{number}", f"{number}", **its)])
            store.sessions(None, limit=3)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(THREADS)))
    for thread in range(THREADS):
        assert taken(store, str(thread)) == {f"{number}" for number in range(25)}


def test_two_processes_may_open_one_empty_database_and_write_to_it_at_once(url: str) -> None:
    with writer(url, "one", 60) as one, writer(url, "two", 60) as two:
        told_one, _ = one.communicate(timeout=60)
        told_two, _ = two.communicate(timeout=60)
    assert (one.returncode, two.returncode) == (0, 0)
    store = SQLStore(url)
    store.open()
    assert (
        taken(store, "one") == set(told_one.split()) - {"open"} == {f"one-{n}" for n in range(60)}
    )
    assert (
        taken(store, "two") == set(told_two.split()) - {"open"} == {f"two-{n}" for n in range(60)}
    )
    store.close()


def test_opening_waits_for_a_process_that_writes_before_the_log_is_there(tmp_path: Path) -> None:
    store = SQLStore(f"sqlite:///{tmp_path}/jarvis.db")
    with (
        ThreadPoolExecutor() as pool,
        contextlib.closing(sqlite3.connect(tmp_path / "jarvis.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        opening = pool.submit(store.open)
        done, _ = wait([opening], timeout=0.3)
        other.execute("COMMIT")
        assert not done
        opening.result(timeout=30)
    store.apply([begin("one")])
    store.close()


def test_opening_does_not_try_again_what_no_waiting_mends(tmp_path: Path) -> None:
    """A log that cannot be made: its directory is not ours to write to, though the file is."""
    asked: list[str] = []
    broken = sqlite3.OperationalError("unable to open database file")
    broken.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN | 2 << 8

    def refuse(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)
        if "journal_mode" in statement:
            raise OperationalError(statement, None, broken)

    store = SQLStore(f"sqlite:///{tmp_path}/jarvis.db")
    event.listen(Engine, "before_cursor_execute", refuse)
    try:
        with pytest.raises(StoreUnavailableError, match="unable to open"):
            store.open()
    finally:
        event.remove(Engine, "before_cursor_execute", refuse)
    store.close()
    assert asked == ["PRAGMA journal_mode = WAL"]


@pytest.mark.parametrize("acknowledged", [0, 1, 7, 40, 150])
def test_nothing_that_was_taken_is_lost_when_the_process_is_killed(
    url: str, acknowledged: int
) -> None:
    with writer(url, "one", MANY) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(acknowledged + 1)]
        process.kill()
        told += process.stdout.read().split("\n")[:-1]  # what it said before it went
        process.wait(30)
    store = SQLStore(url)
    store.open()
    kept = taken(store, "one")
    assert set(told) - {"open"} <= kept
    assert len(kept) <= len(told)  # the one that nobody was told of
    for owner in kept:
        (session,) = store.sessions(owner, limit=9)
        assert [m.text for m in store.messages(owner, session.id)] == [f"prompt of {owner}", ""]
    store.close()
    if url.startswith("sqlite"):
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalars().all() == ["ok"]
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        engine.dispose()
