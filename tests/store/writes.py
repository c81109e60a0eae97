"""Writes, in as few words as a test needs."""

from typing import Any

from msgspec.structs import replace

from jarvis_trio.events import Cause, Completion, Message, ToolCall, Usage
from jarvis_trio.store.base import BeginTurn, EndTurn, RemoveTurn, State, Store, StoredMessage

OWNER = "owner"
SESSION = "s"


def begin(stream: str, *prompt: str | Message, **changes: Any) -> BeginTurn:
    """Return a turn that begins, of the one session, unless ``changes`` say otherwise."""
    said = [Message("user", word) if isinstance(word, str) else word for word in prompt]
    messages = tuple(said or [Message("user", f"prompt of {stream}")])
    turn = BeginTurn(OWNER, SESSION, stream, messages, 0, f"title of {stream}", 1.0)
    return replace(turn, **changes)


def end(stream: str, text: str = "answer", **changes: Any) -> EndTurn:
    """Return the completed end of a turn of the one session."""
    answer = Completion(text, finish_reason="stop")
    turn = EndTurn(OWNER, SESSION, stream, answer, State.COMPLETE, Cause.COMPLETED, 2.0)
    return replace(turn, **changes)


def remove(stream: str) -> RemoveTurn:
    return RemoveTurn(OWNER, SESSION, stream)


FULL_MESSAGE = Message(
    "tool",
    "ünï¢ødé \N{GRINNING FACE}",
    images=("data:image/png;base64,AAAA", "https://a.example/b.png"),
    tool_calls=(ToolCall(0, "call_1", "search", '{"q": "%"}'), ToolCall(1)),
    tool_call_id="call_0",
    name="a_tool",
    sent={"role": "tool", "unknown": [1, 2]},
)
FULL_ANSWER = Completion(
    "text",
    "reasoning",
    (ToolCall(0, "call_2", "f", "{}"),),
    "tool_calls",
    Usage(3, 5),
)


def told(store: Store, session_id: str = SESSION) -> list[str]:
    """Return a conversation as ``seq role text`` lines."""
    return [f"{m.seq} {m.role} {m.text}" for m in store.messages(OWNER, session_id)]


def the_answer(store: Store) -> StoredMessage:
    """Return the last message."""
    (last,) = store.last_messages(OWNER, SESSION, limit=1)
    return last
