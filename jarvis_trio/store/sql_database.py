"""What differs between SQLite and PostgreSQL: how to reach one, and how to write alone."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, OperationalError

from jarvis_trio.errors import ConfigError, StoreUnavailableError
from jarvis_trio.store.schema import bring_up_to_date, is_up_to_date

WAIT_SECONDS: Final = 4
"""How long a call waits for a lock, a connection or the server, at each step."""

PRIMARY_CODE: Final = 0xFF
"""The part of SQLite's result codes that says what failed; the rest says where."""

ONE_WRITER: Final = int.from_bytes(b"jarvis")
"""The advisory lock of PostgreSQL that whoever writes holds until it has committed."""


class Database(NamedTuple):
    """A database that can be reached."""

    name: str
    engine: Engine
    lock: str
    """The first statement of a transaction that writes: from then on nobody else does."""
    find_function: str
    """Returns where in a text another begins, counted from 1."""
    prepare: Callable[[], None]

    def open(self) -> None:
        """Make it, where it can be made, and bring its tables up to date."""
        self.prepare()
        if not is_up_to_date(self.engine):
            with self.writing() as connection:
                bring_up_to_date(connection, self.name)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Write all of it or nothing, while nobody else writes."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(self.lock)
            yield connection


def connect_to(url: str) -> Database:
    """Return the database at ``url``, without touching it.

    Errors: ConfigError, which does not repeat the URL, as a password may be in it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("the database's URL cannot be read") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite" if parsed.database not in (None, "", ":memory:"):
            return _sqlite(parsed)
        case "postgresql" | "postgresql+psycopg" | "postgres":
            return _postgresql(parsed)
    raise ConfigError(
        "the database cannot be used: give sqlite:///path/to/file.db, "
        "postgresql://user:password@host/database, or memory:"
    )


def _sqlite(url: URL) -> Database:
    path = Path(url.database or "")
    name = f"sqlite {path}"
    # isolation_level None: sqlite3 begins no transaction of its own, so that what only reads takes
    # no lock, and what writes takes it before it reads.
    engine = create_engine(
        url,
        connect_args={"isolation_level": None, "timeout": WAIT_SECONDS},
        pool_timeout=WAIT_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare_connection(connection: Any, record: Any) -> None:
        # NORMAL: what is committed outlives the process, though the machine's power may end it.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def look_at_the_file(_connection: Any, record: Any, _proxy: Any) -> None:
        # A connection to a file that has been removed, or replaced, goes on writing into nowhere.
        if record.info["file"] != _identity(path):
            raise DisconnectionError

    def prepare() -> None:
        try:
            if not path.is_absolute():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(f"{name} is unavailable: {error}") from error
        with engine.connect() as connection:
            _write_ahead(connection)

    return Database(name, engine, "BEGIN IMMEDIATE", "instr", prepare)


def _write_ahead(connection: Connection) -> None:
    """Keep a write-ahead log, also where other processes are about to do so.

    Who is second to it is told at once that the database is locked, whatever the timeout, as both
    have begun to read: so it takes a lock that can be waited for, and looks again.
    """
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        except OperationalError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0) & PRIMARY_CODE
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("ROLLBACK")
        else:
            return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _postgresql(url: URL) -> Database:
    try:
        from jarvis_trio.store.bounded_psycopg import BoundedConnection  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "PostgreSQL needs its driver: pip install 'jarvis-trio[postgres]'"
        ) from error
    limits = f"-c statement_timeout={WAIT_SECONDS}s -c idle_in_transaction_session_timeout=10s"
    ours: dict[str, Any] = {
        "client_encoding": "utf8",
        "connect_timeout": str(WAIT_SECONDS),
        "tcp_user_timeout": str(1000 * WAIT_SECONDS),
    }
    theirs = dict(url.query)
    theirs["options"] = f"{limits} {theirs.get('options', '')}".strip()
    url = url.set(drivername="postgresql+psycopg", query=ours | theirs)
    engine = create_engine(url, pool_pre_ping=True, pool_timeout=WAIT_SECONDS, hide_parameters=True)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: Any, options: Any) -> BoundedConnection:
        return BoundedConnection.connect(*args, **options)

    host = url.host or theirs.get("host", "localhost")
    name = f"postgresql {host}/{url.database or ''}"
    lock = f"SELECT pg_advisory_xact_lock({ONE_WRITER})"
    return Database(name, engine, lock, "strpos", lambda: None)
