"""Brings the tables up to date, by the migrations inside this package."""

from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from jarvis_trio.errors import StoreUnavailableError

HEAD: Final = "0002"
"""The newest migration. A database that is there is not looked at any further: alembic takes
longer to import than all else at the start."""


def is_up_to_date(engine: Engine) -> bool:
    """Say whether the tables are as this version needs them."""
    with engine.connect() as connection:
        return _version_of(connection) == HEAD


def bring_up_to_date(connection: Connection, name: str) -> None:
    """Make the tables as this version needs them, if nobody has meanwhile.

    Errors: StoreUnavailableError for a database that a later version has changed.
    """
    version = _version_of(connection)
    if version is not None and version > HEAD:
        raise StoreUnavailableError(
            f"{name} was written by a later version of jarvis-trio: its tables are of "
            f"version {version}, and this one knows those up to {HEAD}"
        )
    _upgrade(connection)


def _version_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "jarvis_trio.store:migrations")
    command.upgrade(config, "head")
