"""Sessions in every order in which things can happen to them (I1 to I8, design §4 to §6).

Every step is followed by :mod:`session_checks`, against :mod:`session_model`. They are the same
steps each time; ``SOAK_EXAMPLES=2000`` has it go where it has not been before.
"""

import os
import sys
from functools import partial
from math import inf
from typing import get_args

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from jarvis_trio.engine.asking import LONGEST_DELAY_SECONDS
from jarvis_trio.engine.policies import Policy
from jarvis_trio.errors import ServerShutdownError, SessionBusyError, SupersededError
from tests.engine.session_answer import Answer, Key, Stage
from tests.engine.session_checks import check_all
from tests.engine.session_model import Room
from tests.engine.session_returns import (
    KEYS,
    ReaderRules,
    has_any,
    kinds,
    may_read,
    there_is,
    which,
)
from tests.engine.session_world import LIMITS, Kind, World
from tests.engine.steered_upstream import ERRORS, Backend

rooms = st.builds(
    Room,
    max_streams=st.integers(2, 5),
    concurrency=st.sampled_from([None, 1, 2]),
    max_queue=st.integers(0, 3),
)
keys = st.sampled_from(KEYS)
sizes = st.lists(st.sampled_from([0, 8, 8, 700, 2500]), min_size=1, max_size=3)
backends = st.sampled_from(["honest"] * 4 + [*get_args(Backend)])
errors = st.sampled_from([*["down"] * 5, *ERRORS])
ends = st.sampled_from(["", *["end"] * 6, *ERRORS])
ages = st.sampled_from([0] * 9 + [30])
durations = st.sampled_from([0.02, 0.075, 0.25, 0.5, 1, 2, 5, 10.5, 21])


class SessionMachine(ReaderRules):
    """What users, their connections, the model server and the clock do, one at a time."""

    ending: str

    @initialize(
        room=rooms,
        ending=st.sampled_from(["is answered", "is stopped", "is left", "is shut down"]),
        schedule=st.random_module(),  # in which order trio runs what can run
    )
    def begin(self, room: Room, ending: str, schedule: object) -> None:
        self.world = World(room, LIMITS, check_all)
        self.ending = ending

    # A rule for each policy, as hypothesis leaves some rules out of each run.
    @rule(key=keys, may_read=may_read, kind=kinds)
    def enqueue(self, key: Key, may_read: float, kind: Kind) -> None:
        self._prompt(key, Policy.ENQUEUE, may_read, kind)

    @rule(key=keys, may_read=may_read, kind=kinds, age=ages)
    def interrupt(self, key: Key, may_read: float, kind: Kind, age: float) -> None:
        self._prompt(key, Policy.INTERRUPT, may_read, kind, age)

    @rule(key=keys, may_read=may_read, kind=kinds, age=ages)
    def roll_back(self, key: Key, may_read: float, kind: Kind, age: float) -> None:
        self._prompt(key, Policy.ROLLBACK, may_read, kind, age)

    @rule(key=keys, may_read=may_read, kind=kinds)
    def reject(self, key: Key, may_read: float, kind: Kind) -> None:
        self._prompt(key, Policy.REJECT, may_read, kind)

    @rule(key=keys, kind=kinds, sizes=sizes)
    def converse(self, key: Key, kind: Kind, sizes: list[int]) -> None:
        """Have a whole turn, if nothing is in its way."""
        self._prompt(key, Policy.REJECT, inf, kind)
        answer = next(iter(self.world.model.lines.get(key, [])), None)
        if answer is not None and answer.stage is Stage.ASKS:
            self.world.step(answer.call.accept, touches=key)
            end = partial(self._end, answer, sizes, has_marker=True, end="end")
            self.world.step(end, touches=key)

    @rule(
        key=keys | st.none(),
        which=which,
        policy=st.sampled_from([Policy.INTERRUPT, *Policy]),
        kind=kinds,
        has_answer=st.booleans(),
    )
    @precondition(has_any)
    def replace(
        self, key: Key | None, which: int, policy: Policy, kind: Kind, has_answer: bool
    ) -> None:
        """A turn of the session, one that is gone or was never kept, or another session's."""
        meant = self._pick(which, *Stage)
        key = key or meant.key
        kind = Kind(kind.lives_on, is_kept=True, continues=True, replaces=meant.stream.id)
        self._prompt(key, policy, inf, kind)
        answer = next(iter(self.world.model.lines.get(key, [])), None)
        if has_answer and answer is not None and answer.stage is Stage.ASKS:
            self.give(self.world.model.at(Stage.ASKS)[::-1].index(answer), [8])

    @rule(which=which)
    @precondition(there_is(Stage.ASKS))
    def accept(self, which: int) -> None:
        answer = self._pick(which, Stage.ASKS)
        self.world.step(answer.call.accept, touches=answer.key)

    @rule(which=which, attempts=st.lists(errors, min_size=1, max_size=3))
    @precondition(there_is(Stage.ASKS))
    def refuse(self, which: int, attempts: list[str]) -> None:
        """And again, should it be asked again."""
        answer = self._pick(which, Stage.ASKS)
        for error in attempts:
            if answer.stage is Stage.ASKS:
                self.world.step(partial(answer.call.refuse, ERRORS[error]()), touches=answer.key)
            if answer.stage is Stage.PAUSES:
                self.world.let_pass(LONGEST_DELAY_SECONDS)

    @rule(which=which, sizes=sizes)
    @precondition(there_is(Stage.ASKS, Stage.ANSWERS))
    def give(self, which: int, sizes: list[int]) -> None:
        answer = self._pick_accepted(which)
        if not answer.call.has_ended:
            self.world.step(lambda: answer.call.give(*sizes), touches=answer.key)

    @rule(which=which, sizes=sizes | st.just([]), has_marker=st.booleans(), end=ends)
    @precondition(there_is(Stage.ASKS, Stage.ANSWERS))
    def end(self, which: int, sizes: list[int], has_marker: bool, end: str) -> None:
        """With some last text, with an end marker or without, and then or only after a while."""
        answer = self._pick_accepted(which)
        if not answer.call.has_ended:
            self.world.step(
                lambda: self._end(answer, sizes, has_marker=has_marker, end=end), touches=answer.key
            )

    @rule(which=which)
    @precondition(there_is(Stage.ASKS, Stage.ANSWERS))
    def have_close_hang(self, which: int) -> None:
        self._pick(which, Stage.ASKS, Stage.ANSWERS).call.hangs = True

    @rule(which=which)
    @precondition(there_is(Stage.CLOSES, Stage.QUARANTINED))
    def let_go(self, which: int) -> None:
        answer = self._pick(which, Stage.CLOSES, Stage.QUARANTINED)
        self.world.step(answer.call.let_go, touches=answer.key)

    @rule(which=which, times=st.integers(1, 2), backend=backends)
    @precondition(has_any)
    def stop_stream(self, which: int, times: int, backend: Backend) -> None:
        answer = self._pick(which, *Stage)

        def stop() -> None:
            self.world.set_backend(backend)
            owner, stream_id = answer.key[0], answer.stream.id
            assert self.world.sessions.directory.stream(f"not {owner}", stream_id) is None
            found = self.world.sessions.directory.stream(owner, stream_id)
            assert found is (answer.stream if answer.is_live else None)
            for _ in range(times if answer.is_live else 0):
                self.world.stop(answer)

        self.world.step(stop, touches=answer.key)

    @rule(key=keys, which=which, is_named=st.booleans())
    @precondition(has_any)
    def stop_session(self, key: Key, which: int, is_named: bool) -> None:
        """As the web does: what is named and is not the session's any more harms nothing."""
        model, sessions = self.world.model, self.world.sessions
        meant = model.answers[-1 - which % len(model.answers)] if is_named else None

        def stop() -> None:
            stream = sessions.directory.current(*key, meant.stream.id if meant else None)
            line = model.lines.get(key, [])
            assert (stream is None) == (not line)
            if stream is not None and (meant is None or stream is meant.stream):
                self.world.stop(next(answer for answer in line if answer.stream is stream))
            else:
                assert meant not in line

        self.world.step(stop, touches=key)

    @rule(backend=backends)
    @precondition(lambda machine: any(not stop.receipts for stop in machine.world.stops.values()))
    def set_backend(self, backend: Backend) -> None:
        self.world.step(lambda: self.world.set_backend(backend), touches=("nobody", ""))

    @rule(seconds=durations)
    def wait(self, seconds: float) -> None:
        self.world.let_pass(seconds)

    def teardown(self) -> None:
        """Bring all to its end in one of the ways there are, and see that nothing is left (I6)."""
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:  # what has failed already is told, not what follows
                self._bring_to_its_end()
        finally:
            self.world.finish()

    def _bring_to_its_end(self) -> None:
        world = self.world
        world.step(lambda: world.set_backend("honest"))
        if world.store.is_away:
            self._bring_store_back()
        if self.ending == "is shut down":
            world.step(world.shut_down)
            self._see_no_prompt_taken()
        for answer in world.model.live:
            if self.ending == "is stopped":
                world.step(partial(world.stop, answer))
            for reader in answer.readers if self.ending == "is left" else ():
                world.step(partial(world.leave, answer, reader))
        away_seconds = LIMITS.resume_grace_seconds if self.ending == "is left" else 0
        world.let_pass(away_seconds + LIMITS.cleanup_timeout_seconds)
        assert self.ending == "is answered" or not world.model.lines  # I4
        while live := world.model.live:
            for answer in live:
                self._let_end(answer)
            world.let_pass(1)
        if self.ending != "is shut down":
            world.let_pass(LIMITS.resume_grace_seconds)
            assert not world.sessions.grace._ends
            assert not world.sessions.kept._answers
            assert world.sessions.kept.held_bytes == 0
        else:
            assert world.sessions.closed.is_set()
            self._see_no_prompt_taken()

    def _see_no_prompt_taken(self) -> None:
        refusal = self.world.run.do(
            lambda: self.world.prompt(KEYS[0], Policy.INTERRUPT, 0, inf, Kind())
        )
        assert isinstance(refusal, ServerShutdownError)

    def _let_end(self, answer: Answer) -> None:
        for reader in answer.readers:
            self.world.step(partial(reader.read, inf))
        if answer.stage in {Stage.CLOSES, Stage.QUARANTINED}:
            self.world.step(answer.call.let_go)
        elif answer.stage in {Stage.ASKS, Stage.ANSWERS}:
            self.world.step(answer.call.accept)
            self.world.step(partial(self._end, answer, [], has_marker=True, end="end"))

    def _prompt(
        self, key: Key, policy: Policy, may_read: float, kind: Kind, age: float = 0
    ) -> None:
        """Send one whose request began to arrive so many seconds ago."""
        world = self.world
        if key in world.model.deleting:
            return  # whether it is before or after that is chance
        arrived_at = world.now - age
        expected = world.model.refusal(key, policy, arrived_at)

        def send() -> None:
            refusal = world.prompt(key, policy, arrived_at, may_read, kind)
            assert type(refusal) is (expected or type(None)), (refusal, expected)
            if refusal is not None:
                must_not_be_replayed = isinstance(refusal, (SessionBusyError, SupersededError))
                assert refusal.should_retry is (False if must_not_be_replayed else None)

        world.step(send, touches=key)

    def _end(self, answer: Answer, sizes: list[int], *, has_marker: bool, end: str) -> None:
        call = answer.call
        call.give(*sizes)
        if has_marker and not call.is_finished:
            call.finish()
        if end:
            call.end(ERRORS[end]() if end in ERRORS else "end")

    def _pick_accepted(self, which: int) -> Answer:
        """Return one that answers, or that is asked for, once that is accepted."""
        answer = self._pick(which, Stage.ASKS, Stage.ANSWERS)
        if answer.stage is Stage.ASKS:
            self.world.step(answer.call.accept, touches=answer.key)
        return answer


@pytest.mark.timeout(600)
def test_sessions_keep_their_promises_in_whatever_order_things_happen() -> None:
    soak = int(os.environ.get("SOAK_EXAMPLES", "0"))
    run_machine(
        SessionMachine,
        settings=settings(
            max_examples=soak or 250,
            stateful_step_count=50,
            deadline=None,
            derandomize=not soak,
            database=None,
            phases=[Phase.generate, Phase.shrink],
        ),
    )
