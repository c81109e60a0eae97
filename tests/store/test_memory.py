"""MemoryStore's own: what bounds it."""

from jarvis_trio.store.base import DeleteSession
from jarvis_trio.store.memory import MemoryStore
from tests.store.writes import OWNER, begin, end


def ids(store: MemoryStore) -> set[str]:
    return {session.id for session in store.sessions(None, limit=99)}


def test_it_keeps_the_sessions_that_were_last_written_to() -> None:
    store = MemoryStore(most_sessions=3)
    store.apply([begin("A", session_id=name) for name in "abc"])
    store.apply([end("A", session_id="a"), begin("A", session_id="d")])
    assert ids(store) == {"c", "a", "d"}
    assert store.messages(OWNER, "b") == []
    store.apply([DeleteSession(OWNER, "a"), begin("A", session_id="e")])
    assert ids(store) == {"c", "d", "e"}


def test_a_batch_larger_than_it_keeps_leaves_the_last() -> None:
    store = MemoryStore(most_sessions=2)
    store.apply([begin("A", session_id=str(number)) for number in range(9)])
    assert ids(store) == {"7", "8"}
