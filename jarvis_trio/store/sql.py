"""Conversations in a database: SQLite or PostgreSQL, by one code path.

Writes come one batch after another, whoever writes: under BEGIN IMMEDIATE in SQLite, an advisory
lock in PostgreSQL. So what a batch reads of its session is still so when it writes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, assert_never

from msgspec.structs import asdict
from sqlalchemy import (
    Connection,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, TimeoutError  # noqa: A004

from jarvis_trio.errors import StoreUnavailableError
from jarvis_trio.store.base import (
    BeginTurn,
    DeleteSession,
    EndTurn,
    Place,
    RemoveTurn,
    ReplaceTurns,
    SetTitle,
    State,
    StoredMessage,
    StoredSession,
    Write,
)
from jarvis_trio.store.pages import as_far_as_a_page
from jarvis_trio.store.sql_database import connect_to
from jarvis_trio.store.sql_replacing import first_seq, origin_of, replace_turns
from jarvis_trio.store.sql_tables import messages, sessions
from jarvis_trio.store.turns import folded, messages_of, storable, storable_answer

T = TypeVar("T")

ROWS_AHEAD = 50
"""What PostgreSQL's driver fetches at once of a conversation that may be longer than a page."""

OF_A_SESSION = [sessions.c[field] for field in StoredSession.__struct_fields__]
OF_A_MESSAGE = [messages.c[field] for field in StoredMessage.__struct_fields__]

THE_SESSION = and_(sessions.c.owner == bindparam("its_owner"), sessions.c.id == bindparam("its_id"))
ITS_KEY = select(sessions.c.key).where(THE_SESSION).scalar_subquery()

HAS_MESSAGES = select(messages.c.seq).where(messages.c.session == sessions.c.key).exists()
HAS_BEGUN = (
    select(messages.c.seq)
    .where(messages.c.session == sessions.c.key, messages.c.stream_id == bindparam("stream"))
    .exists()
)
FIND_SESSION = select(sessions.c.key, sessions.c.last_seq, ~HAS_MESSAGES, HAS_BEGUN).where(
    THE_SESSION
)
ADD_SESSION = insert(sessions)
CHANGE_SESSION = update(sessions).where(sessions.c.key == bindparam("its_key"))
TOUCH_SESSION = update(sessions).where(THE_SESSION)
DELETE_SESSION = delete(sessions).where(THE_SESSION)

ADD_MESSAGES = insert(messages)
REMOVE_TURN = delete(messages).where(
    messages.c.session == ITS_KEY, messages.c.stream_id == bindparam("stream")
)
IS_PLACE = and_(messages.c.state == State.INTERRUPTED, messages.c.cause.is_(None))
IS_LAST_TURN = sessions.c.last_stream == bindparam("stream")
FILL_PLACE = update(messages).where(
    messages.c.session == select(sessions.c.key).where(THE_SESSION, IS_LAST_TURN).scalar_subquery(),
    messages.c.stream_id == bindparam("stream"),
    IS_PLACE,
)


class SQLStore:
    """Conversations in the database at ``url``.

    Errors: of making one, ConfigError for a URL that cannot be used or a driver that is missing.
    """

    def __init__(self, url: str) -> None:
        self._database = connect_to(url)
        self.name = self._database.name

    def open(self) -> None:
        """Make the database ready, with its tables as this version needs them."""
        with self._available():
            self._database.open()

    def close(self) -> None:
        """Close every connection; idempotent."""
        self._database.engine.dispose()

    def apply(self, writes: Sequence[Write]) -> None:
        """Do all of them in this order, or none."""
        with self._available(), self._database.writing() as connection:
            for write in writes:
                _do(write, connection)

    def sessions(
        self, owner: str | None, *, limit: int, after: Place | None = None, search: str = ""
    ) -> list[StoredSession]:
        """Return sessions, the last updated first (then by owner and id, growing)."""
        query = select(*OF_A_SESSION).order_by(
            sessions.c.updated_at.desc(), sessions.c.owner, sessions.c.id
        )
        if owner is not None:
            query = query.where(sessions.c.owner == owner)
        if after is not None:
            # The first condition is for the index, which the second cannot use.
            query = query.where(
                sessions.c.updated_at <= after.updated_at,
                or_(
                    sessions.c.updated_at < after.updated_at,
                    sessions.c.owner > after.owner,
                    and_(sessions.c.owner == after.owner, sessions.c.id > after.id),
                ),
            )
        if search:
            find = getattr(func, self._database.find_function)
            query = query.where(find(func.lower(sessions.c.title), folded(search)) > 0)
        return self._read(query.limit(limit), StoredSession)

    def session(self, owner: str | None, session_id: str) -> StoredSession | None:
        """Return one; of several owners' by this id, the last updated."""
        query = (
            select(*OF_A_SESSION)
            .where(sessions.c.id == session_id)
            .order_by(sessions.c.updated_at.desc(), sessions.c.owner)
            .limit(1)
        )
        if owner is not None:
            query = query.where(sessions.c.owner == owner)
        return next(iter(self._read(query, StoredSession)), None)

    def messages(
        self,
        owner: str,
        session_id: str,
        *,
        limit: int | None = None,
        after: int | None = None,
        newest_first: bool = False,
    ) -> list[StoredMessage]:
        """Return messages behind the one numbered ``after``, in their order or the other way."""
        seq = messages.c.seq
        query = select(*OF_A_MESSAGE).where(messages.c.session == _key(owner, session_id))
        if after is not None:
            query = query.where(seq < after if newest_first else seq > after)
        query = query.order_by(seq.desc() if newest_first else seq).limit(limit)
        with self._available(), self._database.engine.connect() as connection:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=ROWS_AHEAD)
            with streaming.execute(query) as rows:
                return as_far_as_a_page(StoredMessage(*row) for row in rows)

    def last_messages(
        self, owner: str, session_id: str, *, limit: int, replaced: str | None = None
    ) -> list[StoredMessage]:
        """Return the last ``limit`` messages before the turn ``replaced``, in their order."""
        key = _key(owner, session_id)
        query = select(*OF_A_MESSAGE).where(messages.c.session == key)
        if replaced is not None:
            query = query.where(messages.c.seq < first_seq(key, origin_of(key, replaced)))
        return self._read(query.order_by(messages.c.seq.desc()).limit(limit), StoredMessage)[::-1]

    def _read(self, query: Select[Any], kind: type[T]) -> list[T]:
        with self._available(), self._database.engine.connect() as connection:
            return [kind(*row) for row in connection.execute(query)]

    @contextmanager
    def _available(self) -> Iterator[None]:
        """Turn what the database cannot do now, but may later, into StoreUnavailableError."""
        try:
            yield
        except (DataError, IntegrityError):
            raise
        except (DBAPIError, TimeoutError) as error:
            raise StoreUnavailableError(f"{self.name} is unavailable: {_reason(error)}") from error


def _key(owner: str, session_id: str) -> ScalarSelect[int]:
    its = select(sessions.c.key).where(sessions.c.owner == owner, sessions.c.id == session_id)
    return its.scalar_subquery()


def _reason(error: DBAPIError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return "none of its connections came free"
    first_line, *_ = (str(error.orig).strip() or type(error.orig).__name__).splitlines()
    return first_line


def _do(write: Write, connection: Connection) -> None:
    its = {"its_owner": write.owner, "its_id": write.session_id}
    match write:
        case BeginTurn():
            _begin(write, connection)
        case ReplaceTurns():
            replace_turns(write, connection)
        case EndTurn():
            answer = asdict(storable_answer(write.answer))
            ending = {"state": write.state, "cause": write.cause, "stream": write.stream_id}
            if connection.execute(FILL_PLACE, its | answer | ending).rowcount:
                connection.execute(TOUCH_SESSION, {**its, "updated_at": write.at})
        case RemoveTurn():
            connection.execute(REMOVE_TURN, {**its, "stream": write.stream_id})
        case SetTitle():
            change = {"title": storable(write.title), "updated_at": write.at}
            connection.execute(TOUCH_SESSION, its | change)
        case DeleteSession():
            connection.execute(DELETE_SESSION, its)
        case never:
            assert_never(never)


def _begin(turn: BeginTurn, connection: Connection) -> None:
    its = {"its_owner": turn.owner, "its_id": turn.session_id, "stream": turn.stream_id}
    known = connection.execute(FIND_SESSION, its).one_or_none()
    key, last_seq, is_first, has_begun = known or (None, 0, True, False)
    if has_begun:
        connection.execute(CHANGE_SESSION, {"its_key": key, "last_stream": turn.stream_id})
        return
    replaces = turn.replaces
    if replaces is not None and key is not None:
        replaces = connection.execute(select(origin_of(key, replaces))).scalar()
    new = messages_of(turn, is_first=is_first, last_seq=last_seq, replaces=replaces)
    row = {"updated_at": turn.at, "last_seq": new[-1].seq, "last_stream": turn.stream_id}
    if is_first:
        row["title"] = storable(turn.title)
    if known is None:
        row |= {"owner": turn.owner, "id": turn.session_id, "created_at": turn.at}
        key = (connection.execute(ADD_SESSION, row).inserted_primary_key or [None])[0]
    else:
        connection.execute(CHANGE_SESSION, {"its_key": key, **row})
    connection.execute(ADD_MESSAGES, [{"session": key, **asdict(message)} for message in new])
