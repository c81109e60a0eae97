"""Rules for readers that come, go and come back, and for what is stored of conversations."""

from collections.abc import Callable
from functools import partial
from itertools import product, starmap
from math import inf
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from jarvis_trio.engine.history import RETRY_SECONDS
from jarvis_trio.events import Cause
from tests.engine.listeners import Listener
from tests.engine.session_answer import Answer, Key, Stage
from tests.engine.session_checks_kept import check_attached
from tests.engine.session_world import Kind, World

KEYS: Final[list[Key]] = [("ann", "s"), ("ann", "t"), ("bob", "s"), ("bob", "t")]

kinds = st.sampled_from([Kind(), *starmap(Kind, product([False, True], [True], [False, True]))])


which = st.integers(0, 7)
may_read = st.sampled_from([inf, 0, 10])


def there_is(*stages: Stage) -> Callable[["ReaderRules"], bool]:
    """Allow a rule where an answer is at one of these stages."""
    return lambda machine: bool(machine.world.model.at(*stages))


has_any = there_is(*Stage)
lives = there_is(*(stage for stage in Stage if stage is not Stage.GONE))


class ReaderRules(RuleBasedStateMachine):
    """What readers do, and what happens to the store."""

    world: World

    @rule(which=which, may_read=may_read)
    @precondition(lives)
    def attach(self, which: int, may_read: float) -> None:
        answer = self._pick(which, *Stage)
        if answer.is_live and answer.cause is not Cause.CLIENT_DISCONNECT:
            self.world.step(lambda: self.world.attach(answer, may_read), touches=answer.key)

    @rule(which=which, size=st.sampled_from([1, 30, 1000, inf]))
    @precondition(has_any)
    def read(self, which: int, size: float) -> None:
        answer, reader = self._pick_reader(which, is_listening=False)
        if reader is not None:
            self.world.step(lambda: reader.read(size), touches=answer.key)

    @rule(which=which)
    @precondition(lives)
    def leave(self, which: int) -> None:
        answer, reader = self._pick_reader(which)
        if reader is not None:
            self.world.step(lambda: self.world.leave(answer, reader), touches=answer.key)

    @rule(
        which=which,
        after=st.integers(0, 7),
        is_owner=st.sampled_from([True] * 5 + [False]),
        may_read=may_read,
    )
    @precondition(has_any)
    def attach_again(self, which: int, after: int, is_owner: bool, may_read: float) -> None:
        """To any answer there ever was, behind any event, also one that is not there yet."""
        model = self.world.model
        answer = model.answers[-1 - which % len(model.answers)]
        owner = answer.key[0] if is_owner else f"not {answer.key[0]}"
        self.world.step(
            partial(self._attach_again, answer, owner, after, may_read), touches=answer.key
        )

    def _attach_again(self, answer: Answer, owner: str, after: int, may_read: float) -> None:
        world = self.world
        refusal = world.attach_again(answer, owner, after, may_read)
        check_attached(world, answer, owner, after, refusal)

    @rule()
    @precondition(lambda machine: not machine.world.store.is_away)
    def take_store_away(self) -> None:
        self.world.step(self.world.take_store_away)

    @rule()
    @precondition(lambda machine: machine.world.store.is_away)
    def bring_store_back(self) -> None:
        self._bring_store_back()

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: Key) -> None:
        if key not in self.world.model.deleting:
            self.world.step(partial(self.world.delete, key), touches=key)

    def _bring_store_back(self) -> None:
        self.world.store.is_away = False
        self.world.let_pass(RETRY_SECONDS + 0.0001)
        assert self.world.history.trouble is None

    def _pick(self, which: int, *stages: Stage) -> Answer:
        """Return one of those that are at these stages, the newest first."""
        answers = self.world.model.at(*stages)
        return answers[-1 - which % len(answers)]

    def _pick_reader(
        self, which: int, *, is_listening: bool | None = None
    ) -> tuple[Answer, Listener | None]:
        answer = self._pick(which, *Stage)
        readers = [
            reader
            for reader in answer.readers
            if not reader.has_left and is_listening in {None, reader.is_listening}
        ]
        return answer, readers[which % len(readers)] if readers else None
