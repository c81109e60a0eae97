"""What of a turn is kept: pure, and the same whatever keeps it."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from jarvis_trio.events import Completion, Message, ToolCall, Usage
from jarvis_trio.store.base import BeginTurn, EndTurn, State, StoredMessage

MOST_TOKENS = 2**53 - 1
"""What an upstream counts past this is no count, and no database could hold it."""

TITLE_CHARS: Final = 80


def title_of(prompt: str) -> str:
    """Return a line made from a conversation's first prompt."""
    # The rest of a pasted book is no title either.
    line = " ".join(prompt[: 8 * TITLE_CHARS].split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"


def messages_of(
    turn: BeginTurn, *, is_first: bool, last_seq: int, replaces: str | None
) -> list[StoredMessage]:
    """Return what a turn adds to its conversation, numbered on from ``last_seq``.

    The last of them is the place of the answer. ``replaces`` is what the turn is to stand for.
    """
    replaces = _storable_word(replaces)
    asked = turn.messages if is_first else turn.messages[turn.new_from :]
    kept = [
        replace(_kept(message, seq, turn.stream_id, turn.at), replaces=replaces)
        for seq, message in enumerate(asked, last_seq + 1)
    ]
    place = StoredMessage(
        seq=last_seq + len(kept) + 1,
        role="assistant",
        text="",
        stream_id=turn.stream_id,
        created_at=turn.at,
        state=State.INTERRUPTED,
        replaces=replaces,
    )
    return [*kept, place]


def is_place(message: StoredMessage) -> bool:
    """Say whether it is the place of an answer that has not ended."""
    return message.state is State.INTERRUPTED and message.cause is None


def filled(place: StoredMessage, end: EndTurn) -> StoredMessage:
    """Return the answer in its place."""
    answer = storable_answer(end.answer)
    return replace(
        place,
        text=answer.text,
        state=end.state,
        tool_calls=answer.tool_calls,
        reasoning=answer.reasoning,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        cause=end.cause,
    )


def storable_answer(answer: Completion) -> Completion:
    """Return an answer as every store can keep it."""
    usage = answer.usage
    return replace(
        answer,
        text=storable(answer.text),
        reasoning=storable(answer.reasoning),
        tool_calls=_storable_calls(answer.tool_calls),
        usage=usage
        and Usage(
            min(usage.prompt_tokens, MOST_TOKENS),
            min(usage.completion_tokens, MOST_TOKENS),
        ),
    )


def storable(text: str) -> str:
    """Return text as every store can keep it.

    U+FFFD stands for NUL, which PostgreSQL refuses, and for half a surrogate pair, which is no
    text. A pair in two characters becomes the character that it stands for.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def folded(text: str) -> str:
    """Return text with its ASCII letters in lower case: how titles are compared in a search."""
    return storable(text).encode().lower().decode()


def _kept(message: Message, seq: int, stream_id: str, at: float) -> StoredMessage:
    return StoredMessage(
        seq=seq,
        role=storable(message.role),
        text=storable(message.text),
        stream_id=stream_id,
        created_at=at,
        images=tuple(map(storable, message.images)),
        tool_calls=_storable_calls(message.tool_calls),
        tool_call_id=_storable_word(message.tool_call_id),
        name=_storable_word(message.name),
    )


def _storable_calls(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(
            call.index,
            _storable_word(call.id),
            _storable_word(call.name),
            storable(call.arguments),
        )
        for call in calls
    )


def _storable_word(word: str | None) -> str | None:
    return None if word is None else storable(word)
