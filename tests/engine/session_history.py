"""What the history should have of all conversations, and a store that can go away."""

import re
from collections.abc import Iterable, Sequence

from jarvis_trio.engine.conversation import next_turn
from jarvis_trio.errors import StoreUnavailableError
from jarvis_trio.events import Cause
from jarvis_trio.store.base import State, StoredMessage, Write
from jarvis_trio.store.memory import MemoryStore
from tests.engine.session_answer import Answer, Key
from tests.scripted import ask

Told = tuple[str, str, str, State, Cause | None]
"""A message: its stream, role and text, how whole it is, and why."""


class FlakyStore(MemoryStore):
    """A store that is away while a test says so."""

    is_away = False

    def apply(self, writes: Sequence[Write]) -> None:
        self._be_there()
        super().apply(writes)

    def last_messages(
        self, owner: str, session_id: str, *, limit: int, replaced: str | None = None
    ) -> list[StoredMessage]:
        self._be_there()
        return super().last_messages(owner, session_id, limit=limit, replaced=replaced)

    def _be_there(self) -> None:
        if self.is_away:
            raise StoreUnavailableError("it is away")


class HistoryModel:
    """Each conversation's turns, in their order, and what it is called."""

    def __init__(self, token_budget: int) -> None:
        self.turns: dict[Key, list[Answer]] = {}
        self.titles: dict[Key, str] = {}
        self._token_budget = token_budget

    def begin(self, answer: Answer) -> None:
        """Note that it is asked for, and with what."""
        prompt = ask(answer.name).messages
        answer.asked_with = prompt
        if not answer.is_kept:
            return
        turns = self.turns.setdefault(answer.key, [])
        answer.replaces = _origin_of(answer, turns)
        if answer.continues and not answer.stream.misses_history:
            before = turns[: _place_of(answer, turns)]
            answer.asked_with = next_turn(_stored(before), prompt, self._token_budget)
        if not turns:
            self.titles[answer.key] = answer.name
        turns.append(answer)

    def has(self, answer: Answer) -> bool:
        return answer in self.turns.get(answer.key, [])

    def take_place(self, answer: Answer) -> None:
        """Note that its answer has begun: what it replaces goes, and all behind that."""
        turns = self.turns.get(answer.key, [])
        if answer.replaces is None or answer not in turns:
            return
        has_title = self.titles[answer.key] == turns[0].name
        others = [turn for turn in turns if turn is not answer]
        turns[:] = [*others[: _place_of(answer, others)], answer]
        if has_title:
            self.titles[answer.key] = turns[0].name

    def end(self, answer: Answer) -> None:
        """Note that it has ended: one that is rolled back never was."""
        turns = self.turns.get(answer.key, [])
        if answer.is_rolled_back and answer in turns:
            turns.remove(answer)
        elif answer.has_words or answer.cause in {None, Cause.COMPLETED}:
            self.take_place(answer)

    def delete(self, key: Key) -> None:
        self.turns.pop(key, None)
        self.titles.pop(key, None)

    def told(self, key: Key) -> list[Told]:
        """Say what there should be of a conversation."""
        return _told(self.turns.get(key, []))


def _origin_of(answer: Answer, turns: Iterable[Answer]) -> str | None:
    """Return what it is to replace, which is what that one is to replace, if it is."""
    named = [turn for turn in turns if turn.stream.id == answer.replaces]
    return named[0].replaces or answer.replaces if named else answer.replaces


def _place_of(answer: Answer, turns: Sequence[Answer]) -> int:
    """Return where the turn is that it replaces: at the end, if there is none."""
    if answer.replaces is not None:
        for place, turn in enumerate(turns):
            if answer.replaces in {turn.stream.id, turn.replaces}:
                return place
    return len(turns)


def _told(turns: Iterable[Answer]) -> list[Told]:
    told: list[Told] = []
    for answer in turns:
        told.append((answer.stream.id, "user", answer.name, State.COMPLETE, None))
        text, state, cause = "", State.INTERRUPTED, None
        if answer.is_released:
            text = b"".join(re.findall(rb"\[([^\]]*)\]", answer.encoder.made)).decode()
            cause = answer.cause or Cause.COMPLETED
            state = _state(cause)
        told.append((answer.stream.id, "assistant", text, state, cause))
    return told


def _stored(turns: Iterable[Answer]) -> list[StoredMessage]:
    return [
        StoredMessage(seq, role, text, stream_id, 0.0, state, cause=cause)
        for seq, (stream_id, role, text, state, cause) in enumerate(_told(turns), 1)
    ]


def _state(cause: Cause) -> State:
    if cause is Cause.COMPLETED:
        return State.COMPLETE
    has_failed = cause in {Cause.UPSTREAM_ERROR, Cause.UPSTREAM_EOF, Cause.UPSTREAM_TIMEOUT}
    return State.FAILED if has_failed else State.INTERRUPTED


def told_by(store: MemoryStore, key: Key) -> list[Told]:
    """Say what there is of a conversation."""
    return [(m.stream_id, m.role, m.text, m.state, m.cause) for m in store.messages(*key)]
