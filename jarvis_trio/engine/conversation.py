"""What a conversation is to the next prompt. Pure: from what is stored to what the model is sent.

A model server refuses, or a template breaks on, tool calls without their results, two messages of
one role in a row, an answer at the beginning, and more tokens than its context. None of that may
come out of a history, whatever was interrupted in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from msgspec.structs import replace

from jarvis_trio.events import Cause, Completion, Message
from jarvis_trio.store import turns
from jarvis_trio.store.base import State, StoredMessage

BYTES_PER_TOKEN: Final = 4
"""Of English; other scripts take more bytes and more tokens alike."""

TOKENS_PER_MESSAGE: Final = 8
"""What a template puts round each."""

TOKENS_PER_IMAGE: Final = 500

INSTRUCTIONS: Final = frozenset({"system", "developer"})
JOINED: Final = frozenset({"user", "assistant"})

STATES: Final = {
    Cause.COMPLETED: State.COMPLETE,
    Cause.UPSTREAM_ERROR: State.FAILED,
    Cause.UPSTREAM_EOF: State.FAILED,
    Cause.UPSTREAM_TIMEOUT: State.FAILED,
}
"""How whole an answer is, by its cause; all other causes interrupt it."""


def title_of(messages: Iterable[Message]) -> str:
    """Return a line made from the first prompt."""
    return turns.title_of(
        next((message.text for message in messages if message.role == "user"), "")
    )


def newest(messages: Sequence[Message]) -> int:
    """Return where the prompt begins, behind all that a client repeats of its conversation."""
    roles = [message.role for message in messages]
    if "assistant" in roles:
        return len(roles) - roles[::-1].index("assistant")
    return next((n for n, role in enumerate(roles) if role not in INSTRUCTIONS), len(roles))


def prompt_of(messages: Sequence[Message]) -> str:
    """Return the user's words that are to be answered; "" where there are none."""
    new = messages[newest(messages) :]
    return "\n\n".join(message.text for message in new if message.role == "user")


def kept_answer(answer: Completion, cause: Cause) -> tuple[Completion, State]:
    """Return what is kept of an answer: half a tool call is none."""
    state = STATES.get(cause, State.INTERRUPTED)
    return (answer if state is State.COMPLETE else replace(answer, tool_calls=())), state


def next_turn(
    stored: Sequence[StoredMessage], prompt: Sequence[Message], token_budget: int
) -> tuple[Message, ...]:
    """Return ``prompt`` behind as much of the stored conversation as the budget lets.

    1. Turns that failed without a word are left out: they would fail again.
    2. Tool calls stay where all their results follow, and results where their calls are.
    3. Neighbours of one role become one message: a prompt that was interrupted before its answer
       had begun goes with the next one.
    4. The oldest exchanges go until the rest fits; instructions stay, and so does the prompt.
    """
    past = list(_with_whole_calls([message for turn in _turns(stored) for message in turn]))
    instructions = [message for message in past if message.role in INSTRUCTIONS]
    exchanges = _exchanges([m for m in past if m.role not in INSTRUCTIONS] + list(prompt))
    budget = token_budget - sum(map(_tokens, instructions))
    kept: list[Message] = []
    for exchange in reversed(exchanges):
        budget -= sum(map(_tokens, exchange))
        if kept and budget < 0:
            break
        kept[:0] = exchange
    return (*instructions, *_joined(kept))


def _turns(stored: Sequence[StoredMessage]) -> Iterator[list[StoredMessage]]:
    for _, messages in groupby(stored, lambda message: message.stream_id):
        turn = list(messages)
        answer = turn[-1]
        is_empty = not answer.text and not answer.tool_calls
        if not (answer.state is State.FAILED and is_empty):
            yield turn


def _with_whole_calls(stored: Sequence[StoredMessage]) -> Iterator[Message]:
    waiting: set[str | None] = set()
    for index, message in enumerate(stored):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                continue
            waiting.discard(message.tool_call_id)
            yield _message(message)
            continue
        asked = {call.id for call in message.tool_calls}
        results = set()
        for later in stored[index + 1 :]:
            if later.role != "tool":
                break
            results.add(later.tool_call_id)
        is_whole = bool(asked) and asked <= results
        waiting = asked if is_whole else set()
        mended = message if is_whole else replace(message, tool_calls=())
        if mended.text or mended.images or mended.tool_calls:
            yield _message(mended)


def _message(stored: StoredMessage) -> Message:
    return Message(
        role=stored.role,
        text=stored.text,
        images=stored.images,
        tool_calls=stored.tool_calls,
        tool_call_id=stored.tool_call_id,
        name=stored.name,
    )


def _joined(messages: Iterable[Message]) -> Iterator[Message]:
    last: Message | None = None
    for message in messages:
        if last is not None and _go_together(last, message):
            text = "\n\n".join(filter(None, [last.text, message.text]))
            # What the client sent of the one no longer stands for both.
            last = replace(message, text=text, images=last.images + message.images, sent={})
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _go_together(one: Message, other: Message) -> bool:
    return one.role == other.role in JOINED and not one.tool_calls and not other.tool_calls


def _exchanges(talk: Sequence[Message]) -> list[list[Message]]:
    """Cut a conversation before each prompt; what comes before the first is left out."""
    exchanges: list[list[Message]] = []
    for message in talk:
        if message.role == "user":
            exchanges.append([message])
        elif exchanges:
            exchanges[-1].append(message)
    return exchanges


def _tokens(message: Message) -> int:
    size = len(message.text.encode()) + sum(len(call.arguments) for call in message.tool_calls)
    around = TOKENS_PER_MESSAGE + TOKENS_PER_IMAGE * len(message.images)
    return around + size // BYTES_PER_TOKEN
