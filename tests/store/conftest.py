"""Stores of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jarvis_trio.store.base import Store
from jarvis_trio.store.memory import MemoryStore
from jarvis_trio.store.sql import SQLStore
from tests.store.postgres import MISSING, PostgreSQL, find_programs, running_postgres

KINDS = ("memory", "sqlite", "postgresql")
DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A PostgreSQL that runs for all the tests."""
    programs = find_programs()
    if programs is None:
        pytest.skip(MISSING)
    with running_postgres(programs) as server:
        yield server


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jarvis.db"
    server: PostgreSQL = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store that is open."""
    made: Store
    match request.param:
        case "memory":
            made = MemoryStore()
        case "sqlite":
            made = SQLStore(f"sqlite:///{tmp_path}/jarvis.db")
        case _:
            server: PostgreSQL = request.getfixturevalue("postgres")
            made = SQLStore(server.emptied_database())
    made.open()
    yield made
    made.close()


@pytest.fixture
def sql_store(url: str) -> Iterator[SQLStore]:
    """An empty database that is open."""
    made = SQLStore(url)
    made.open()
    yield made
    made.close()
