"""Whatever is written, memory and a database show the same."""

import tempfile
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_trio.events import Cause, Completion, Message, ToolCall, Usage
from jarvis_trio.store.base import (
    BeginTurn,
    DeleteSession,
    EndTurn,
    Place,
    RemoveTurn,
    ReplaceTurns,
    SetTitle,
    State,
    Store,
    Write,
)
from jarvis_trio.store.memory import MemoryStore
from jarvis_trio.store.sql import SQLStore

OWNERS = ("x", "Y")
SESSIONS = ("s", "T")
SEARCHES = ("a", "É", "%", "\\")

owners = st.sampled_from(OWNERS)
ids = st.sampled_from(SESSIONS)
streams = st.sampled_from("ABC")
# NUL, half pairs and letters with a case: what stores might differ about.
texts = st.text(st.sampled_from("aAéÉ%_\\\0\ud83d\ude00 "), max_size=6)
words = st.none() | texts
times = st.sampled_from([1.0, 2.0, 2.5])
counts = st.sampled_from([0, 1, 2**53, 2**70])
tool_calls = st.lists(st.builds(ToolCall, st.integers(0, 3), words, words, texts), max_size=2).map(
    tuple
)
messages = st.builds(
    Message, texts, texts, st.lists(texts, max_size=2).map(tuple), tool_calls, words, words
)
states, causes = st.sampled_from(State), st.sampled_from(Cause)
answers = st.builds(
    Completion,
    texts,
    texts,
    tool_calls,
    st.sampled_from([None, "stop", "length"]),
    st.none() | st.builds(Usage, counts, counts),
)
prompts = st.lists(messages, max_size=3).map(tuple)
writes: st.SearchStrategy[Write] = st.one_of(
    st.builds(
        BeginTurn,
        owners,
        ids,
        streams,
        prompts,
        st.integers(0, 3),
        texts,
        times,
        st.none() | streams | texts,
    ),
    st.builds(ReplaceTurns, owners, ids, streams),
    st.builds(EndTurn, owners, ids, streams, answers, states, causes, times),
    st.builds(RemoveTurn, owners, ids, streams),
    st.builds(SetTitle, owners, ids, texts, times),
    st.builds(DeleteSession, owners, ids),
)


def shown(store: Store) -> list[object]:
    """Return all that can be read."""
    whose = (None, *OWNERS)
    return [
        *(store.sessions(owner, limit=limit) for owner in whose for limit in (1, 9)),
        *(store.sessions(None, limit=9, after=Place(2.0, owner, "s")) for owner in OWNERS),
        *(store.sessions(None, limit=9, search=search) for search in SEARCHES),
        *(store.session(owner, name) for owner in whose for name in SESSIONS),
        *(store.messages(owner, name) for owner in OWNERS for name in SESSIONS),
        *(
            store.messages(o, n, after=3, limit=2, newest_first=newest_first)
            for o in OWNERS
            for n in SESSIONS
            for newest_first in (False, True)
        ),
        *(
            store.last_messages(o, n, limit=3, replaced=replaced)
            for o in OWNERS
            for n in SESSIONS
            for replaced in (None, *"ABC")
        ),
    ]


@pytest.mark.timeout(600)
@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(writes, max_size=8), max_size=4))
def test_memory_and_sqlite_show_the_same_after_any_writes(batches: list[list[Write]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        memory = MemoryStore()
        with closing(SQLStore(f"sqlite:///{directory}/jarvis.db")) as database:
            database.open()
            for batch in batches:
                memory.apply(batch)
                database.apply(batch)
                assert shown(database) == shown(memory)
