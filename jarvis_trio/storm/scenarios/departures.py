"""Clients that leave before their answer has ended."""

from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from jarvis_trio.storm.answer import read_answer
from jarvis_trio.storm.call import Call
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.stage import LOADING, LONG, Stage
from jarvis_trio.storm.trial import Trial
from jarvis_trio.storm.witness import Stats

LEAVERS = 4
"""That leave at once in each phase, by close and by reset in turn."""

HEADERS_SECONDS = 1.0
"""A server may keep its headers until it has text: then its client leaves without them."""

LAST_TOKENS = 20
LAST_WORDS = (b"w19 ", b"[DONE]")
"""The last of so many tokens; or the end, where the model server is not ours."""


class _Leaver(Struct):
    """One client; ``tokens`` were made for it before it left.

    ``left_ns`` stays None where its answer never came so far; ``seen`` is what became of that.
    """

    marker: str
    tokens: int = 0
    left_ns: int | None = None
    seen: str = ""


class _Phase(Struct, frozen=True):
    """A moment to leave in; ``reach`` waits for it and says whether it came.

    ``most_tokens`` is for an upstream that is not ours.
    """

    name: str
    behaviour: str
    reach: Callable[[Stage, Call, _Leaver], Awaitable[bool]]
    stream: bool = True
    most_tokens: int | None = None


async def play_disconnect(stage: Stage, trial: Trial) -> None:
    """Leave in every phase of an answer; each time the model server must be let go."""
    left: dict[str, list[_Leaver]] = {}
    for phase in PHASES:
        leavers = [_Leaver(stage.new_name("leaver")) for _ in range(LEAVERS)]
        async with trio.open_nursery() as nursery:
            for number, leaver in enumerate(leavers):
                nursery.start_soon(_leave, stage, phase, leaver, number % 2 == 1)
        lost = [leaver.seen for leaver in leavers if leaver.left_ns is None]
        seen = f"{len(lost)} of {LEAVERS} did not: {lost[0]}" if lost else f"{LEAVERS} did"
        trial.expect(
            f"answers come so far that their clients can leave {phase.name}", not lost, seen
        )
        left[phase.name] = [leaver for leaver in leavers if leaver.left_ns is not None]
    if stage.has_witness:
        await stage.is_all_closed()
        stats = await stage.witness.stats()
        for name, leavers in left.items():
            _judge(trial, name, leavers, stats, stage.options.patience_seconds)
    else:
        trial.note("whether the model server was freed was not seen (no --sim)")


async def _leave(stage: Stage, phase: _Phase, leaver: _Leaver, by_reset: bool) -> None:
    async with stage.asking(
        phase.behaviour,
        marker=leaver.marker,
        stream=phase.stream,
        most_tokens=phase.most_tokens,
    ) as call:
        is_there = False
        with trio.move_on_after(stage.options.patience_seconds):
            is_there = await phase.reach(stage, call, leaver)
        if is_there:
            (call.reset if by_reset else call.leave)()
            leaver.left_ns = call.left_ns
        else:
            with trio.move_on_after(HEADERS_SECONDS):
                await call.rest()
            leaver.seen = str(read_answer(call))


def _judge(
    trial: Trial, phase: str, leavers: list[_Leaver], stats: Stats, patience_seconds: float
) -> None:
    """Compare when the clients left with when the model server's connections were closed."""
    still_open = 0
    times = []
    for leaver in leavers:
        for exchange in stats.of(leaver.marker):
            still_open += exchange.is_open
            if exchange.closed_ns is not None and leaver.left_ns is not None:
                times.append(exchange.closed_ns - leaver.left_ns)
    tokens = sum(stats.tokens_of(leaver.marker) - leaver.tokens for leaver in leavers)
    if still_open:
        seen = f"{still_open} of {len(leavers)} still open after {patience_seconds:g} s"
    elif times:
        seen = f"{len(times)} closed, the slowest after {max(times) / 1e6:.1f} ms"
    else:
        seen = "all had ended by themselves"
    seen += f"; at most {tokens} tokens made for nobody"
    trial.expect(f"a client that leaves {phase} frees the model server", not still_open, seen)
    trial.measure(f"client left {phase} to upstream closed", times)


async def _asked(stage: Stage, _: Call, leaver: _Leaver) -> bool:
    if stage.has_witness:
        await stage.witness.wait_for(leaver.marker, "arrival")
    else:
        await trio.sleep(stage.options.gap_seconds)
    return True


async def _accepted(stage: Stage, call: Call, leaver: _Leaver) -> bool:
    await _asked(stage, call, leaver)
    with trio.move_on_after(HEADERS_SECONDS):
        await call.head()
    return call.ended_ns is None


async def _answering(stage: Stage, call: Call, leaver: _Leaver) -> bool:
    has_text = await call.text()
    await _count_tokens(stage, leaver)
    return has_text


async def _at_its_end(_: Stage, call: Call, leaver: _Leaver) -> bool:
    leaver.tokens = LAST_TOKENS
    is_there = False
    has_more = True
    while has_more and not is_there:
        has_more = await call.read()
        is_there = any(words in call.body for words in LAST_WORDS)
    return is_there


async def _being_made(stage: Stage, call: Call, leaver: _Leaver) -> bool:
    await _asked(stage, call, leaver)
    await trio.sleep(stage.options.gap_seconds)
    await _count_tokens(stage, leaver)
    return True


async def _count_tokens(stage: Stage, leaver: _Leaver) -> None:
    if stage.has_witness:
        leaver.tokens = (await stage.witness.stats()).tokens_of(leaver.marker)


PHASES = (
    _Phase("before its headers", "sim?headers_ms=10000000", _asked),
    _Phase("in prefill", LOADING, _accepted),
    _Phase("in decode", LONG, _answering),
    _Phase(
        "at its last byte",
        f"sim?tps=200&tokens={LAST_TOKENS}",
        _at_its_end,
        most_tokens=LAST_TOKENS,
    ),
    _Phase("while a whole answer is made", LONG, _being_made, stream=False),
)

DISCONNECT = Scenario(
    "disconnect",
    "A client that leaves, whenever and however, frees the model server: it works for nobody who "
    "has gone.",
    play_disconnect,
)
