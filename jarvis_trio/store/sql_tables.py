"""The tables, as the newest migration leaves them, and how values lie in their columns."""

from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

from jarvis_trio.events import Cause, ToolCall, Usage
from jarvis_trio.store.base import State
from jarvis_trio.store.turns import storable

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is ordered as Python orders it, and of which only ASCII letters have a lower case, as
everywhere in SQLite."""

NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""What SQLite numbers by itself is called INTEGER there, and as large."""


class Word(TypeDecorator[str]):
    """What things are looked up by: what cannot be kept is looked for in vain, without an error."""

    impl = BYTEWISE
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return what goes to the database."""
        return None if value is None else storable(value)


class OneOf(TypeDecorator[E], Generic[E]):
    """A word of an enumeration."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return what goes to the database."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:  # noqa: ARG002
        """Return what came from it."""
        return None if value is None else self.kind(value)


class Json(TypeDecorator[T], Generic[T]):
    """A value of this kind, as JSON text; None is NULL."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return what goes to the database."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:  # noqa: ARG002
        """Return what came from it."""
        return None if value is None else msgspec.json.decode(value, type=self.kind)


metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("key", NUMBER, primary_key=True),
    Column("owner", Word, nullable=False),
    Column("id", Word, nullable=False),
    Column("title", BYTEWISE, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("last_seq", NUMBER, nullable=False),
    Column("last_stream", Word, nullable=False),
)
"""``last_seq`` and ``last_stream``, of the last turn that began, outlive its messages: no number is
given twice in a conversation, and only the last turn can end."""

Index("sessions_by_id", sessions.c.id, sessions.c.owner, unique=True)
Index("sessions_by_time", sessions.c.updated_at.desc(), sessions.c.owner, sessions.c.id)
Index("sessions_by_owner", sessions.c.owner, sessions.c.updated_at.desc(), sessions.c.id)

messages = Table(
    "messages",
    metadata,
    Column(
        "session",
        NUMBER,
        ForeignKey(sessions.c.key, name="messages_session", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("role", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("stream_id", Word, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", OneOf(State), nullable=False),
    Column("images", Json(tuple[str, ...]), nullable=False),
    Column("tool_calls", Json(tuple[ToolCall, ...]), nullable=False),
    Column("tool_call_id", Text),
    Column("name", Text),
    Column("reasoning", Text, nullable=False),
    Column("finish_reason", Text),
    Column("usage", Json(Usage)),
    Column("cause", OneOf(Cause)),
    Column("replaces", Word),
)
"""After ``session``, the fields of a StoredMessage in their order."""

Index("messages_by_stream", messages.c.session, messages.c.stream_id)
Index(
    "messages_by_replaced",
    messages.c.session,
    messages.c.replaces,
    sqlite_where=messages.c.replaces.is_not(None),
    postgresql_where=messages.c.replaces.is_not(None),
)
