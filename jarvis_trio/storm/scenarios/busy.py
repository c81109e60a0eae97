"""More prompts than a session, or the server, takes."""

from collections import Counter
from time import monotonic_ns

import trio

from jarvis_trio.storm.answer import Answer, read_answer
from jarvis_trio.storm.call import CALL_ERRORS, Call
from jarvis_trio.storm.refusal import fault_of_refusal, retry_after
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.load import need_descriptors
from jarvis_trio.storm.stage import BRIEF, LONG, Stage
from jarvis_trio.storm.trial import Trial

SHORTEST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 60.0
"""What a client waits before it asks again, whatever it is told."""

REJECT = {"X-Session-Policy": "reject"}


async def play_busy(stage: Stage, trial: Trial) -> None:
    """Ask a session that is to reject, and then the whole server, for too much."""
    need_descriptors(stage.options.sessions)
    if stage.abilities.has_sessions:
        await _play_busy_session(stage, trial)
    else:
        trial.note("no sessions: only the server as a whole was made busy")
    crowd = _Crowd(stage, max(2, stage.options.sessions))
    await crowd.play()
    crowd.judge(trial)
    if stage.has_witness:
        trial.expect("nothing stays open at the model server", await stage.is_all_closed())


# A busy session.


async def _play_busy_session(stage: Stage, trial: Trial) -> None:
    session = stage.new_name("session")
    async with stage.asking(LONG, session=session) as live:
        with trio.move_on_after(stage.options.patience_seconds):
            await live.text()
        async with trio.open_nursery() as reading:
            reading.start_soon(live.rest)
            calls = await _ask_at_once(stage, session, 1)
            first = read_answer(calls[0]) if calls else Answer(0)
            knows_policy = first.status not in (0, 200, 400)
            if knows_policy:
                calls += await _ask_at_once(stage, session, stage.options.prompts - 1)
            reading.cancel_scope.cancel(reason="the prompts are refused")
        if knows_policy:
            await _read_on(stage, live)
            if not stage.has_witness and read_answer(live).is_complete:
                trial.note("the live answer was too short for it: no session was kept busy")
            else:
                _judge_refusals(trial, calls, live)
        else:
            trial.note(f"no session that rejects was seen: the policy is not known ({first})")


async def _ask_at_once(stage: Stage, session: str, size: int) -> list[Call]:
    calls: list[Call] = []

    async def ask() -> None:
        async with stage.asking(BRIEF, session=session, headers=REJECT) as call:
            calls.append(call)
            await call.rest()

    with trio.move_on_after(stage.options.patience_seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(size):
                nursery.start_soon(ask)
    return calls


async def _read_on(stage: Stage, live: Call) -> None:
    """Read more than can have been on its way."""
    enough = len(live.pieces) + 3
    with trio.move_on_after(stage.options.patience_seconds):
        while len(live.pieces) < enough and await live.read():
            pass


def _judge_refusals(trial: Trial, calls: list[Call], live: Call) -> None:
    faults = Counter(fault_of_refusal(call) for call in calls)
    understood = faults.pop(None, 0)
    seen = "; ".join([f"{understood} of {len(calls)} prompts", *(str(fault) for fault in faults)])
    trial.expect("a busy session refuses in a way that clients understand", not faults, seen)
    trial.expect("and its live answer goes on", live.ended_ns is None, read_answer(live))


# A busy server.


class _Crowd:
    """Clients that all ask at once; who is refused waits as long as it is told, and asks again.

    It goes on as long as answers come; ``patience_seconds`` without any end it.
    """

    def __init__(self, stage: Stage, size: int) -> None:
        self._stage = stage
        self._size = size
        self._answered_ns: list[int] = []
        self._refusals = Counter[str]()
        self._faults = Counter[str]()
        self._longest_wait = 0.0
        self._patience = trio.CancelScope()

    async def play(self) -> None:
        """Ask until everybody is answered, or nobody is any more."""
        with self._patience:
            async with trio.open_nursery() as nursery:
                self._be_patient()
                for number in range(self._size):
                    nursery.start_soon(self._ask_until_answered, number)

    def judge(self, trial: Trial) -> None:
        """Note what became of them."""
        answered = len(self._answered_ns)
        wrong = sum(self._faults.values())
        hung = self._size - answered - wrong
        told = ", ".join(f"{count} with {what}" for what, count in self._refusals.most_common(3))
        seen = f"{answered} of {self._size} prompts at once; refused: {told or 'none'}"
        trial.expect("who asks again when told to is answered in the end", not hung, seen)
        trial.expect(
            "who is not answered is refused in a way that clients understand",
            not wrong,
            ", ".join(f"{count} times {what}" for what, count in self._faults.most_common(3)),
        )
        trial.measure("prompt to the end of its answer, retries included", self._answered_ns)

    def _be_patient(self) -> None:
        seconds = self._stage.options.patience_seconds + 1.5 * self._longest_wait
        self._patience.deadline = trio.current_time() + seconds

    async def _ask_until_answered(self, number: int) -> None:
        began_ns = monotonic_ns()
        session = self._stage.new_session()
        while True:
            try:
                async with self._stage.asking(BRIEF, session=session) as call:
                    await call.rest()
            except CALL_ERRORS:
                self._faults["no connection"] += 1
                return
            if read_answer(call).is_complete:
                self._answered_ns.append(monotonic_ns() - began_ns)
                self._be_patient()
                return
            if (fault := fault_of_refusal(call)) is not None or call.status == 409:
                self._faults[fault or "HTTP 409, in a session of its own"] += 1
                return
            self._refusals[f"HTTP {call.status}"] += 1
            # Clients that come back at the same moment find the same few places.
            await trio.sleep(self._wait(call) * (1 + number / self._size / 2))

    def _wait(self, refused: Call) -> float:
        """Return how long a client has to wait; so long, no answers need to come."""
        told = retry_after(refused) or 0.0
        wait = min(max(told, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        if wait > self._longest_wait:
            self._longest_wait = wait
            self._be_patient()
        return wait


BUSY = Scenario(
    "busy",
    "A session or a server that takes no more prompts says so, and when to come back; who does is "
    "answered.",
    play_busy,
)
