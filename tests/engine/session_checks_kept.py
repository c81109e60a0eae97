"""What must hold of what outlives its readers, or its stream: kept answers and the history."""

from itertools import pairwise

from jarvis_trio.engine.kept import ENTRY_BYTES
from jarvis_trio.errors import JarvisError, NotFoundError, RequestError, StreamGoneError
from jarvis_trio.events import Message
from tests.engine.session_answer import Answer
from tests.engine.session_history import told_by
from tests.engine.session_world import World


def check_graces(world: World) -> None:
    """I6: a grace is what nobody reads, and what is kept; each ends at its time."""
    if world.sessions.closed.is_set():
        return
    model, grace = world.model, world.sessions.grace
    ends = {one.stream.id: one.grace_until for one in model.live if one.has_grace}
    ends |= {answer.stream.id: until for until, answer in _not_deleted(world)}
    kept_away = {stream_id: end for stream_id, (end, _) in grace._ends.items()}
    assert kept_away.keys() == ends.keys()
    assert all(abs(kept_away[one] - ends[one]) < 1e-6 for one in ends)
    assert all(one <= other for one, other in pairwise(kept_away.values()))


def check_kept(world: World) -> None:
    """What has ended is kept, and no more of it than may be: the oldest go."""
    if world.sessions.closed.is_set():
        return  # nobody waits for its end any more
    kept, model, limit = world.sessions.kept, world.model, world.limits.kept_limit_bytes
    order = list(world.sessions.endings._by_stream)
    model.kept.sort(key=lambda entry: (entry[0], order.index(entry[1].stream.id)))
    while model.kept and model.kept[0][1].stream.id not in kept._answers:
        most = sum(ENTRY_BYTES + len(answer.encoder.made) for _, answer in model.kept)
        is_deleted = model.kept[0][1].key in model.deleted
        assert is_deleted or most > limit, f"{model.kept[0][1]} is not kept, though there is room"
        del model.kept[0]
    model.kept = _not_deleted(world)
    assert [answer.stream.id for _, answer in model.kept] == list(kept._answers)
    assert kept.held_bytes == sum(answer.size for answer in kept._answers.values()) <= limit
    for _, answer in model.kept:
        assert kept._answers[answer.stream.id].size >= ENTRY_BYTES + answer.stream.replay.held_bytes


def _not_deleted(world: World) -> list[tuple[float, Answer]]:
    """What has ended goes with its conversation: when that goes, another test says."""
    held, model = world.sessions.kept._answers, world.model
    return [
        (until, answer)
        for until, answer in model.kept
        if answer.stream.id in held or answer.key not in model.deleted
    ]


def check_held(world: World) -> None:
    """What nobody reads is held as far as it may be, and no further."""
    for answer in world.model.answers:
        if answer.lives_on and all(reader.has_left for reader in answer.readers):
            assert answer.stream.replay.held_bytes <= world.limits.resume_limit_bytes, answer


def check_attached(
    world: World, answer: Answer, owner: str, after: int, refusal: JarvisError | None
) -> None:
    """Who comes back has what follows, or is told why not; nobody else is told anything."""
    if owner != answer.key[0]:
        assert type(refusal) is NotFoundError
        return
    is_there = answer.is_live and not answer.was_abandoned
    if not is_there and answer not in [one for _, one in world.model.kept]:
        assert type(refusal) is StreamGoneError, answer
        return
    made = answer.encoder.made
    events = answer.encoder.split(made)
    if after > len(events):
        assert type(refusal) is RequestError, answer
        return
    behind = len(b"".join(events[after:]))
    needed = [len(made) - one.position for one in answer.readers if not one.has_left]
    limits = world.limits
    held = limits.resume_limit_bytes if answer.lives_on else limits.replay_limit_bytes
    if behind <= max([held, *needed]):
        assert refusal is None, (answer, refusal)
    elif refusal is not None:
        assert type(refusal) is StreamGoneError
        lost = int(refusal.message.split("after=")[1].split()[0])
        assert after < lost <= len(events), answer
        assert answer.stream.replay.held_bytes == len(b"".join(events[lost:])), answer


def check_history(world: World) -> None:
    """Once all is written, the history is what it should be, and nothing else is in it."""
    history, model = world.history, world.model.history
    if history.trouble is None:
        assert not history.waiting
    if history.waiting:
        return
    stored = {(s.owner, s.id): s.title for s in world.store.sessions(None, limit=99)}
    assert stored == model.titles
    for key in stored:
        assert told_by(world.store, key) == model.told(key), key


def check_asked(world: World) -> None:
    """The upstream was asked with the conversation as it stood, and with nothing else."""
    for answer in world.model.answers:
        for call in answer.calls:
            assert _texts(call.messages) == _texts(answer.asked_with), answer
        if answer.stream.misses_history:
            assert answer.name in world.without_history, answer


def _texts(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]
