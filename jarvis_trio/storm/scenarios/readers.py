"""Clients that read slowly, or stop reading."""

from time import monotonic_ns

import trio

from jarvis_trio.storm.answer import read_answer
from jarvis_trio.storm.call import Call
from jarvis_trio.storm.scenarios import Scenario
from jarvis_trio.storm.scenarios.load import LONGEST_IN_PATIENCE
from jarvis_trio.storm.stage import Stage
from jarvis_trio.storm.trial import Trial

SMALL_BUFFER_BYTES = 4096

ENDLESS_TOKENS = 1_000_000
ENDLESS = f"sim?tps=0&tokens={ENDLESS_TOKENS}"
"""Faster than any client, and longer than what is kept for one."""

LOOK_SECONDS = 0.25
"""A model server at full speed that makes nothing for so long is held back."""

SLOW_TOKENS = 70_000
SLOW = f"sim?tps=0&tokens={SLOW_TOKENS}"
SLOW_MOST_TOKENS = 100
"""Of it, where the model server is not ours: that takes its own time for each."""

SLOW_READ_BYTES = 1024
SLOW_READ_SECONDS = 0.1


async def play_stalled_reader(stage: Stage, trial: Trial) -> None:
    """Stop reading a fast answer, and ask again; the stalled client stays."""
    session = stage.new_name("stalled") if stage.abilities.has_sessions else None
    marker = stage.new_name("stalled")
    async with stage.asking(
        ENDLESS, marker=marker, session=session, receive_buffer=SMALL_BUFFER_BYTES
    ) as stalled:
        with trio.move_on_after(stage.options.patience_seconds):
            await stalled.text()
        has_begun = stalled.first_text_ns is not None
        if not trial.expect("a long answer begins", has_begun, read_answer(stalled)):
            return
        stopped_ns = monotonic_ns()
        await _wait_until_held_back(stage, trial, marker)
        asked_ns = monotonic_ns()
        whose = "the session's next prompt" if session else "another client's prompt"
        await _ask_meanwhile(stage, trial, whose, session)
        if stage.has_witness:
            over_ns = await _over_ns(stage, marker)
            if session is None:
                _tell_how_long(stage, trial, stopped_ns, over_ns)
            else:
                _judge_superseded(stage, trial, asked_ns, over_ns)
    if stage.has_witness:
        sentence = "nothing of it stays open at the model server when the stalled client has gone"
        trial.expect(sentence, await _over_ns(stage, marker) is not None)


async def play_slow_reader(stage: Stage, trial: Trial) -> None:
    """Read slowly for some seconds, then fast; somebody else asks meanwhile."""
    marker = stage.new_name("slow")
    patience = stage.options.patience_seconds
    async with stage.asking(
        SLOW,
        marker=marker,
        receive_buffer=SMALL_BUFFER_BYTES,
        most_tokens=SLOW_MOST_TOKENS,
    ) as slow:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_slowly, slow, patience)
            await trio.sleep(patience / 8)
            await _ask_meanwhile(stage, trial, "another client's prompt", None)
        await _tell_taken(stage, trial, marker, SLOW_TOKENS, "when its client began to read fast")
        slow_bytes = len(slow.body)
        slow.hurry()
        await _read_on(slow, patience)
    answer = await trio.to_thread.run_sync(read_answer, slow)
    seen = f"{slow_bytes} bytes of it slowly, {len(slow.body)} in all: {answer}"
    trial.expect("a slow reader gets its answer to the end", answer.is_complete, seen)
    if stage.has_witness:
        whole = "".join(f"w{index} " for index in range(SLOW_TOKENS))
        seen = f"{len(answer.text)} of {len(whole)} characters"
        trial.expect("not a byte of it is lost or changed", answer.text == whole, seen)
    else:
        trial.note("that it is whole is known by its end alone (no --sim)")


async def _read_slowly(call: Call, patience_seconds: float) -> None:
    """Read some KB/s for half the patience."""
    with trio.move_on_after(patience_seconds):
        until = trio.current_time() + patience_seconds / 2
        while trio.current_time() < until:
            await call.read(SLOW_READ_BYTES)
            await trio.sleep(SLOW_READ_SECONDS)


async def _read_on(call: Call, patience_seconds: float) -> None:
    """Read to the end, fast, for as long as something comes: how fast is the server's to say."""
    with trio.move_on_after(LONGEST_IN_PATIENCE * patience_seconds):
        has_more = True
        while has_more:
            has_more = False
            with trio.move_on_after(patience_seconds):
                has_more = await call.read()


async def _ask_meanwhile(stage: Stage, trial: Trial, whose: str, session: str | None) -> None:
    sentence = f"{whose} is answered in full meanwhile"
    patience = stage.options.patience_seconds
    with trio.move_on_after(patience):
        async with stage.asking(session=session) as call:
            await call.rest()
        answer = read_answer(call)
        trial.expect(sentence, answer.is_complete, answer)
        if call.first_text_ns is not None:
            trial.measure(f"{whose} to its first text", [call.first_text_ns - call.sent_ns])
        return
    trial.expect(sentence, False, f"not in {patience:g} s")


async def _wait_until_held_back(stage: Stage, trial: Trial, marker: str) -> None:
    """Wait until the server takes no more of an answer that nobody reads."""
    if not stage.has_witness:
        trial.note("how far the server was held up by it was not seen (no --sim)")
        await trio.sleep(LOOK_SECONDS)
        return
    before = -1
    with trio.move_on_after(stage.options.patience_seconds):
        while True:
            made = (await stage.witness.stats()).tokens_of(marker)
            if made == before:
                break
            before = made
            await trio.sleep(LOOK_SECONDS)
    await _tell_taken(stage, trial, marker, ENDLESS_TOKENS, "for the client that does not read")


async def _tell_taken(stage: Stage, trial: Trial, marker: str, tokens: int, when: str) -> None:
    if stage.has_witness:
        taken = (await stage.witness.stats()).tokens_of(marker)
        trial.note(f"the server had taken {taken} of {tokens} tokens {when}")


async def _over_ns(stage: Stage, marker: str) -> int | None:
    """Wait until the model server is free of a prompt; say when it was, None if it is not."""
    with trio.move_on_after(stage.options.patience_seconds):
        while True:
            exchanges = (await stage.witness.stats()).of(marker)
            if not any(exchange.is_open for exchange in exchanges):
                ends = [exchange.closed_ns or exchange.finished_ns for exchange in exchanges]
                return max((end for end in ends if end is not None), default=None)
            await trio.sleep(0.02)
    return None


def _judge_superseded(stage: Stage, trial: Trial, asked_ns: int, over_ns: int | None) -> None:
    seen = f"still open after {stage.options.patience_seconds:g} s"
    if over_ns is not None:
        seen = f"{(over_ns - asked_ns) / 1e6:.1f} ms after it was sent"
        if over_ns < asked_ns:
            seen = "it had ended before"
        else:
            trial.measure("prompt behind a stalled reader to upstream closed", [over_ns - asked_ns])
    sentence = "that prompt ends the stalled answer at the model server"
    trial.expect(sentence, over_ns is not None, seen)


def _tell_how_long(stage: Stage, trial: Trial, stopped_ns: int, over_ns: int | None) -> None:
    """Without sessions, how long a stalled client is kept is the server's to say."""
    trial.note("no sessions: nobody's prompt supersedes the stalled reader's")
    if over_ns is None:
        seconds = stage.options.patience_seconds
        trial.note(f"its answer was still open at the model server after {seconds:g} s")
    else:
        seconds = (over_ns - stopped_ns) / 1e9
        trial.note(f"the model server was free of it {seconds:.1f} s after it stopped reading")


STALLED_READER = Scenario(
    "stalled-reader",
    "A client that stops reading holds nobody up: the next prompt of its session is answered at "
    "once, or of others where there are no sessions.",
    play_stalled_reader,
)

SLOW_READER = Scenario(
    "slow-reader",
    "A client that reads slowly but steadily gets its answer to the last byte, and others are "
    "answered meanwhile.",
    play_slow_reader,
)
