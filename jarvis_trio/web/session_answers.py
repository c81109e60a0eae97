"""What the session routes answer with: conversations as JSON, and places in their lists as text."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from jarvis_trio.engine.conversation import prompt_of
from jarvis_trio.engine.stream import LiveStream, Turn
from jarvis_trio.errors import RequestError
from jarvis_trio.events import Cause
from jarvis_trio.store.base import Place, StoredMessage, StoredSession
from jarvis_trio.store.pages import MOST_CHARS
from jarvis_trio.web.identifiers import IDENTIFIER
from jarvis_trio.wire.openai.answers import Function, FunctionCall, TokenCount

CURSOR: Final = re.compile(rf"[0-9]{{1,12}}\.[0-9]{{1,9}}~[0-9a-f]{{16}}~{IDENTIFIER.pattern}")

MAX_TITLE_CHARS: Final = 200


class QueuedStream(Struct):
    """An answer that waits in its session; ``position`` 1 is next, ``content`` its prompt's text.

    That is told of one session, not in lists, of the first ``MOST_CHARS`` or so, and not where the
    prompt has no words of a user's.
    """

    stream_id: str
    position: int
    content: str | UnsetType = UNSET


class SessionCard(Struct, kw_only=True):
    """A conversation; times are unix seconds, ``active_stream_id`` the answer being made.

    ``active_content`` is what that answers, told of one session as ``content`` is in its queue, for
    as long as the history does not have it: it may wait for the model server.
    """

    id: str
    object: Literal["session"] = "session"
    title: str
    created_at: int
    updated_at: int
    active_stream_id: str | None
    active_content: str | UnsetType = UNSET
    queue: list[QueuedStream]


class SessionPage(Struct, kw_only=True):
    """Conversations, the last updated first; ``next_cursor`` asks for the next page, if any."""

    object: Literal["list"] = "list"
    data: list[SessionCard]
    has_more: bool
    next_cursor: str | None


class SessionDeleted(Struct, kw_only=True):
    """The conversation is gone."""

    id: str
    object: Literal["session.deleted"] = "session.deleted"
    deleted: Literal[True] = True


class MessageCard(Struct, kw_only=True):
    """A message; ``seq`` grows along its conversation. What only some messages have is left out.

    ``state``: ``streaming`` while its answer is being made; ``interrupted`` and ``failed`` hold
    what had come by then, and ``cause`` says why (null: the server ended first). ``replaces``: the
    stream whose turn, and all behind it, goes when this turn's answer has its first piece.
    """

    seq: int
    role: str
    content: str
    state: Literal["streaming", "complete", "interrupted", "failed"]
    stream_id: str
    created_at: int
    cause: Cause | None
    reasoning: str | UnsetType = UNSET
    images: Sequence[str] | UnsetType = UNSET
    tool_calls: list[FunctionCall] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    finish_reason: str | UnsetType = UNSET
    usage: TokenCount | UnsetType = UNSET
    replaces: str | UnsetType = UNSET


class MessagePage(Struct, kw_only=True):
    """Messages in the order asked for; more of them are behind the last one's ``seq``."""

    object: Literal["list"] = "list"
    data: list[MessageCard]
    has_more: bool


class TitleChange(Struct, forbid_unknown_fields=True):
    """What can be changed of a conversation."""

    title: Annotated[str, Meta(min_length=1, max_length=MAX_TITLE_CHARS, pattern=r"\S")]


def session_card(
    session: StoredSession, active: Sequence[LiveStream], *, tells_prompts: bool = False
) -> SessionCard:
    """Describe a session whose live stream, and then those that wait, are ``active``."""
    told = tells_prompts and active and active[0].turn is Turn.NONE
    return SessionCard(
        id=session.id,
        title=session.title,
        created_at=int(session.created_at),
        updated_at=int(session.updated_at),
        active_stream_id=active[0].id if active else None,
        active_content=(_prompt_of(active[0]) or UNSET) if told else UNSET,
        queue=_queue(active[1:], MOST_CHARS if tells_prompts else 0),
    )


def _prompt_of(stream: LiveStream) -> str:
    return prompt_of(stream.prompt.request.messages)


def _queue(waiting: Sequence[LiveStream], chars_left: int) -> list[QueuedStream]:
    queue = []
    for position, stream in enumerate(waiting, start=1):
        prompt = _prompt_of(stream)
        is_told = prompt and chars_left > 0
        queue.append(QueuedStream(stream.id, position, prompt if is_told else UNSET))
        chars_left -= len(prompt)
    return queue


def message_card(message: StoredMessage, *, is_live: bool) -> MessageCard:
    """Describe a message, of which more may come."""
    calls = [
        FunctionCall(
            id=call.id or f"call_{call.index}", function=Function(call.name or "", call.arguments)
        )
        for call in message.tool_calls
    ]
    usage = message.usage
    return MessageCard(
        seq=message.seq,
        role=message.role,
        content=message.text,
        state="streaming" if is_live else message.state.value,
        stream_id=message.stream_id,
        created_at=int(message.created_at),
        cause=message.cause,
        reasoning=message.reasoning or UNSET,
        images=message.images or UNSET,
        tool_calls=calls or UNSET,
        tool_call_id=UNSET if message.tool_call_id is None else message.tool_call_id,
        name=UNSET if message.name is None else message.name,
        finish_reason=UNSET if message.finish_reason is None else message.finish_reason,
        usage=UNSET
        if usage is None
        else TokenCount(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.prompt_tokens + usage.completion_tokens,
        ),
        replaces=UNSET if message.replaces is None else message.replaces,
    )


def encode_cursor(session: StoredSession) -> str:
    """Return the place behind ``session``, as a word that clients hand back."""
    return f"{session.updated_at!r}~{session.owner}~{session.id}"


def decode_cursor(cursor: str) -> Place:
    """Read a cursor. *Errors:* RequestError."""
    if not CURSOR.fullmatch(cursor):
        raise RequestError("this is no cursor: hand back a next_cursor as it came", param="cursor")
    updated_at, owner, session_id = cursor.split("~")
    return Place(float(updated_at), owner, session_id)
