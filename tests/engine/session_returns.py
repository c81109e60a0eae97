"""Rules for what outlives its readers, or its stream: coming back, and the history."""

from functools import partial
from math import inf
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from jarvis_trio.engine.history import RETRY_SECONDS
from tests.engine.session_answer import Key
from tests.engine.session_checks_kept import check_attached
from tests.engine.session_world import Kind, World

KEYS: Final[list[Key]] = [("ann", "s"), ("ann", "t"), ("bob", "s"), ("bob", "t")]

kinds = st.sampled_from(
    [Kind(), *[Kind(lives_on, True, is_next) for lives_on in (0, 1) for is_next in (0, 1)]]
)


class ReturnRules(RuleBasedStateMachine):
    """What clients that were away do, and what happens to what is stored."""

    world: World

    @rule(
        which=st.integers(0, 7),
        after=st.integers(0, 7),
        is_owner=st.sampled_from([True] * 5 + [False]),
        may_read=st.sampled_from([inf, 0, 10]),
    )
    @precondition(lambda machine: bool(machine.world.model.answers))
    def attach_again(self, which: int, after: int, is_owner: bool, may_read: float) -> None:
        """To any answer there ever was, behind any event, also one that is not there yet."""
        model = self.world.model
        answer = model.answers[-1 - which % len(model.answers)]
        owner = answer.key[0] if is_owner else f"not {answer.key[0]}"
        self.world.step(
            partial(self._attach_again, answer, owner, after, may_read), touches=answer.key
        )

    def _attach_again(self, answer, owner, after, may_read) -> None:
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
