"""The tables: as the migrations make them, as the code knows them, and of a later version."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from jarvis_trio.errors import StoreUnavailableError
from jarvis_trio.store.base import ReplaceTurns
from jarvis_trio.store.schema import HEAD
from jarvis_trio.store.sql import SQLStore
from jarvis_trio.store.sql_database import connect_to
from jarvis_trio.store.sql_tables import metadata
from tests.store.postgres import PostgreSQL
from tests.store.writes import OWNER, SESSION, begin, told

ROOT = Path(__file__).parents[2]
COLLATIONS_AND_INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name",
    "postgresql": """
        SELECT table_name || '.' || column_name, collation_name FROM information_schema.columns
        WHERE table_schema = 'public'
        UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        ORDER BY 1
    """,
}


def described(engine: Engine) -> list[Any]:
    """Return what compare_metadata does not look at."""
    with engine.connect() as connection:
        found = connection.execute(text(COLLATIONS_AND_INDEXES[engine.dialect.name])).all()
    return [row for row in found if "alembic" not in row[0]]


def test_the_migrations_make_the_tables_that_the_code_knows(sql_store: SQLStore) -> None:
    with sql_store._database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_the_indexes_and_collations_that_the_code_knows(
    sql_store: SQLStore, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    migrated = sql_store._database.engine
    if migrated.dialect.name == "sqlite":
        plain = connect_to(f"sqlite:///{tmp_path}/plain.db").engine
    else:
        server: PostgreSQL = request.getfixturevalue("postgres")
        plain = connect_to(server.new_database()).engine
    metadata.create_all(plain)
    assert described(migrated) == described(plain)
    assert len(described(plain)) > 3
    plain.dispose()


def test_the_head_is_the_newest_migration_and_they_are_numbered_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", "jarvis_trio.store:migrations")
    revisions = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions[0] == HEAD
    assert revisions == sorted(revisions, reverse=True)


def test_a_database_of_the_first_version_is_brought_up_to_date_with_what_is_in_it(
    sql_store: SQLStore,
) -> None:
    sql_store.apply([begin("A", "hello")])
    engine = sql_store._database.engine
    now = described(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX messages_by_replaced"))
        connection.execute(text("ALTER TABLE messages DROP COLUMN replaces"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    sql_store.open()
    assert described(engine) == now
    assert told(sql_store) == ["1 user hello", "2 assistant "]
    sql_store.apply([begin("B", "again", replaces="A"), ReplaceTurns(OWNER, SESSION, "B")])
    assert told(sql_store) == ["3 user again", "4 assistant "]


def test_a_database_that_is_up_to_date_is_opened_without_alembic(url: str) -> None:
    """It takes longer to import than all else at the start."""
    program = (
        "import sys; from jarvis_trio.store.sql import SQLStore; store = SQLStore(sys.argv[1]);"
        "store.open(); store.close(); print('alembic' in sys.modules)"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program, url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for _ in range(2)
    ]
    assert told == ["True\n", "False\n"]


def test_a_database_of_a_later_version_is_refused_and_left_as_it_is(url: str) -> None:
    store = SQLStore(url)
    store.open()
    store.apply([begin("A", "hello")])
    engine = store._database.engine
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = described(engine)
    with pytest.raises(
        StoreUnavailableError, match=r"later version of jarvis-trio.* 9999"
    ) as error:
        store.open()
    assert store.name in error.value.message
    assert described(engine) == before
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})
    store.open()
    assert told(store) == ["1 user hello", "2 assistant "]
    store.close()


def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE messages (x INTEGER)"))  # somebody else's
    before = described(engine)
    store = SQLStore(url)
    with pytest.raises(StoreUnavailableError, match="already exists"):
        store.open()
    assert described(engine) == before
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE messages"))
    store.open()
    store.apply([begin("A", "hello")])
    store.close()
    engine.dispose()
