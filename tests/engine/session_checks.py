"""What must hold after every step, and at rest (design §4). Each check is a promise of its own."""

import re
from collections.abc import Callable
from typing import Final

from jarvis_trio.engine.endings import Ending
from jarvis_trio.engine.stopping import BACKEND_SECONDS, LOOK_SECONDS, Receipt
from jarvis_trio.errors import StreamEndedError, SupersededError
from jarvis_trio.events import Cause, Text
from tests.engine.session_answer import AT_UPSTREAM, CONNECTED, Answer, Stage
from tests.engine.session_checks_kept import (
    check_asked,
    check_graces,
    check_held,
    check_history,
    check_kept,
)
from tests.engine.session_world import Stopping, World

WELL_FORMED: Final = re.compile(rb"(<open>)?(\[[^\]]*\])*(<end stop>|<error [a-z_]+>)?")


def check_places(world: World) -> None:
    """I1, I2, I4: who has a session, who waits for it, and who is at the upstream."""
    assert world.violations == []
    model, sessions = world.model, world.sessions
    assert sessions._sessions.keys() == model.lines.keys()
    for key, line in model.lines.items():
        streams = [answer.stream for answer in line]
        session = sessions._sessions[key]
        assert (session.holder, session.line) == (streams[0], streams[1:]), line
        active = [answer.stream for answer in model.active(key)]
        assert sessions.directory.current(*key) is (active or streams)[0]
    assert sessions.streams == {answer.stream for answer in model.live}
    assert world.admission.taken == model.places
    holders = {answer.stream for answer in model.at(*AT_UPSTREAM)}
    assert world.admission.turns._takers == holders
    assert world.admission.turns._limiter.borrowed_tokens == len(holders)
    assert world.admission.turns.waiting == len(model.at(Stage.NEXT))


def check_streams(world: World) -> None:
    """Every stream is where it should be, and has ended for the cause that came first."""
    for answer in world.model.answers:
        stream = answer.stream
        assert (stream.cause, stream.phase) == (answer.cause, answer.phase), answer
        assert stream.released.is_set() == answer.is_released, answer
        assert stream.finished.is_set() == (not answer.is_live), answer
        assert stream.quarantined == answer.was_quarantined, answer
        is_accepted = bool(answer.calls) and answer.call.is_accepted
        assert stream.accepted == is_accepted, answer
        assert stream.settled.is_set() == (is_accepted or answer.is_released), answer


def check_upstream(world: World) -> None:
    """I2, I7: what is open is what should be, was asked for as often as it should, and is read."""
    for answer in world.model.answers:
        is_open = [call.is_open for call in answer.calls]
        should_be = [False] * answer.attempts
        if answer.stage in CONNECTED:
            should_be[-1] = True
        assert is_open == should_be, answer
        if answer.stage is Stage.ANSWERS:
            _check_reading(world, answer)


def _check_reading(world: World, answer: Answer) -> None:
    """The upstream is read when the window is over, and not while a reader has no room."""
    call = answer.call
    is_held_back = answer.lag_bytes > world.limits.replay_limit_bytes
    if call.waiting and not is_held_back:
        assert call.is_gathering, f"{answer} does not read on"
        assert not call.is_worth_reading, f"{answer} does not read on"
    # Another reader may begin far behind one that had room, and to the end there is not much.
    if is_held_back and len(answer.readers) == 1 and not call.is_finished:
        assert call.asked_for_more_at is None, f"{answer} reads on, and nobody reads what it has"


def check_text(world: World) -> None:
    """I5: all that was given is framed once, in its order, with one end, which fits the cause."""
    for answer in world.model.answers:
        made = answer.encoder.made
        match = WELL_FORMED.fullmatch(made)
        assert match is not None, (answer, made)
        assert (match[1] is not None) == (answer.began_at is not None), answer
        assert (match[3] or b"").decode() == _last_frame(answer), answer
        framed = b"".join(re.findall(rb"\[([^\]]*)\]", made)).decode()
        given = answer.call.given if answer.calls else []
        waiting = (
            [one.text for one in answer.call.waiting if isinstance(one, Text)] if given else []
        )
        assert framed == "".join(given[: len(given) - len(waiting)]), answer
        assert not (waiting and answer.is_released), f"{answer} has lost {waiting}"
        assert answer.stream.answer.pieces == _pieces(given) - _pieces(waiting), answer


def _last_frame(answer: Answer) -> str:
    if not answer.is_released or answer.cause is Cause.CLIENT_DISCONNECT:
        return ""
    return "<end stop>" if answer.cause is Cause.COMPLETED else f"<error {answer.code}>"


def _pieces(texts: list[str]) -> int:
    return sum(bool(text) for text in texts)


def check_readers(world: World) -> None:
    """I5: each reader has one piece of what was made, up to now; at the end, up to the end."""
    for answer in world.model.answers:
        made = answer.encoder.made
        for reader in answer.readers:
            assert made[reader.began_at_byte : reader.position] == reader.received, answer
            if reader.is_listening:
                assert reader.position == len(made), f"a reader of {answer} was not woken"
                assert reader.is_at_end == answer.is_released, answer
            elif reader.is_at_end:
                assert answer.is_released, answer
                assert reader.position == len(made), f"{answer} ended too soon for a reader"


def check_errors(world: World) -> None:
    """What was ended on purpose must not be sent again; who was superseded is told by whom."""
    for answer in world.model.answers:
        for error in answer.encoder.errors:
            assert error.should_retry is (False if isinstance(error, StreamEndedError) else None)
            if isinstance(error, SupersededError):
                assert answer.successor is not None, answer
                assert error.superseded_by == answer.successor.stream.id, answer


def check_receipts(world: World) -> None:
    """A stop is answered in bounded time, whoever does not read, once all of it is gone (I3, I4).

    Whoever asked is told the same.
    """
    for stop in world.stops.values():
        if not stop.receipts:
            _check_wait(world, stop)
            continue
        assert stop.answer.is_released, f"{stop.answer} was told to be stopped, and is not"
        assert stop.receipts == [_receipt(stop)] * stop.asked, stop
        idle_ms = stop.receipts[0].backend_idle_ms
        if stop.had_ended or not _was_seen_closed(stop) or "honest" not in stop.heard:
            assert idle_ms is None, stop
        elif stop.heard == {"honest"}:
            assert idle_ms == stop.receipts[0].upstream_closed_ms, stop


def _check_wait(world: World, stop: Stopping) -> None:
    if not stop.answer.is_released:
        waited = world.now - stop.began_at
        assert waited < world.limits.cleanup_timeout_seconds, f"{stop.answer} is not stopped"
        return
    assert "busy" in stop.heard, stop
    if world.upstream.backend == "busy":
        assert world.now < stop.released_at + BACKEND_SECONDS, stop
    else:  # it has not looked again yet
        assert world.now < world.backend_changed_at + LOOK_SECONDS, stop


def _was_seen_closed(stop: Stopping) -> bool:
    return stop.answer.began_at is not None and not stop.answer.was_quarantined


def _receipt(stop: Stopping) -> Receipt:
    """Return the receipt that there should be, whatever the backend has said of itself."""
    answer, idle_ms = stop.answer, stop.receipts[0].backend_idle_ms
    closed_ms = round((stop.released_at - stop.began_at) * 1000, 1)
    is_confirmed = answer.began_at is None or idle_ms is not None
    return Receipt(
        session_id=answer.key[1],
        stream_id=answer.stream.id,
        cause=answer.cause or Cause.COMPLETED,
        phase=stop.phase,
        tokens_sent=answer.stream.answer.pieces,
        upstream_closed_ms=closed_ms if _was_seen_closed(stop) else None,
        backend_idle_ms=idle_ms,
        status="already_ended"
        if stop.had_ended
        else "cancelled"
        if is_confirmed
        else "unconfirmed",
    )


def check_what_is_gone(world: World) -> None:
    """What has ended is remembered, to its owner only, and its log has as many ends as starts."""
    for answer in world.model.at(Stage.GONE):
        owner, session_id = answer.key
        stream = answer.stream
        cause = answer.cause or Cause.COMPLETED
        ending = Ending(owner, session_id, stream.id, cause, stream.answer.pieces, None)
        assert world.sessions.endings.of_stream(owner, stream.id) == ending, answer
        assert world.sessions.endings.of_stream(f"not {owner}", stream.id) is None
        has_begun = int(answer.began_at is not None)
        assert world.logged["stream_start", stream.id] == has_begun, answer
        assert world.logged["stream_end", stream.id] == has_begun, answer
        assert world.logged["stream_never_started", stream.id] == 1 - has_begun, answer


def check_rest(world: World) -> None:
    """I6: where nothing lives, nothing is left."""
    if world.model.live:
        return
    assert world.upstream.open_calls == []
    assert not world.sessions._runner.idle_timeout._ends
    nursery = world.sessions._nursery
    stopping = [stop for stop in world.stops.values() if not stop.receipts]
    assert len(nursery.child_tasks if nursery else ()) == len(stopping), nursery
    sample = world.metrics.registry.get_sample_value
    answers = world.model.answers
    for cause in Cause:
        count = sample("jarvis_streams_ended_total", {"cause": cause}) or 0
        assert count == sum((answer.cause or Cause.COMPLETED) is cause for answer in answers)
    quarantined = sum(answer.was_quarantined for answer in answers)
    assert sample("jarvis_streams_quarantined_total") == quarantined


EVERY_STEP: Final[tuple[Callable[[World], None], ...]] = (
    check_places,
    check_streams,
    check_upstream,
    check_text,
    check_readers,
    check_errors,
    check_receipts,
    check_what_is_gone,
    check_rest,
    check_kept,
    check_graces,
    check_held,
    check_history,
    check_asked,
)


def check_all(world: World) -> None:
    """Check everything."""
    for check in EVERY_STEP:
        check(world)
