"""Which turn another one stands for, and how it takes that one's place, in SQL."""

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)

from jarvis_trio.store.base import ReplaceTurns
from jarvis_trio.store.sql_tables import Word, messages, sessions
from jarvis_trio.store.turns import title_of

Key = ColumnElement[int] | int

BEHIND_ALL: Final = 2**63 - 1


def origin_of(session: Key, stream_id: str) -> ColumnElement[Any]:
    """Return what a turn stands for: itself, if nothing else."""
    turn = messages.alias()
    its = select(turn.c.replaces).where(turn.c.session == session, turn.c.stream_id == stream_id)
    return func.coalesce(its.limit(1).scalar_subquery(), literal(stream_id, Word()))


def first_seq(
    session: Key, origin: ColumnElement[Any] | str, *, but: str | None = None
) -> ColumnElement[int]:
    """Return where the turn begins that stands for ``origin``, other than ``but``."""
    turn = messages.alias()
    seqs = select(turn.c.seq).where(turn.c.session == session)
    if but is not None:
        seqs = seqs.where(turn.c.stream_id != but)
    # Each of the two has an index.
    found = union_all(
        seqs.where(turn.c.stream_id == origin), seqs.where(turn.c.replaces == origin)
    ).subquery()
    return func.coalesce(select(func.min(found.c.seq)).scalar_subquery(), BEHIND_ALL)


def replace_turns(turn: ReplaceTurns, connection: Connection) -> None:
    """Remove what the turn stands for, and all behind it."""
    found = connection.execute(
        select(sessions.c.key, sessions.c.title, messages.c.replaces)
        .join(messages, messages.c.session == sessions.c.key)
        .where(
            sessions.c.owner == turn.owner,
            sessions.c.id == turn.session_id,
            sessions.c.last_stream == turn.stream_id,
            messages.c.stream_id == turn.stream_id,
        )
        .limit(1)
    ).one_or_none()
    key, title, origin = found or (None, "", None)
    if key is None or origin is None:
        return
    follows_prompt = title == title_of(_first_prompt(key, connection))
    connection.execute(
        delete(messages).where(
            messages.c.session == key,
            messages.c.stream_id != turn.stream_id,
            messages.c.seq >= first_seq(key, origin, but=turn.stream_id),
        )
    )
    if follows_prompt:
        title = title_of(_first_prompt(key, connection))
        connection.execute(update(sessions).where(sessions.c.key == key).values(title=title))


def _first_prompt(session: int, connection: Connection) -> str:
    prompts = select(messages.c.text).where(
        messages.c.session == session, messages.c.role == "user"
    )
    return connection.execute(prompts.order_by(messages.c.seq).limit(1)).scalar() or ""
