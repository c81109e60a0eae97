"""What an operator sees of a running server: sessions, their streams, their tasks, all others.

Ids are shown; prompts, keys and who owns what are not.
"""

import os
import time
from collections.abc import Iterator

import trio

from jarvis_trio.engine.sessions import Sessions
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.observe.task_tree import Row, render, tree, walk


def make_report(sessions: Sessions) -> str:
    """Return the whole tree as text. Sync; its last line says how much CPU time it took."""
    began = time.thread_time()
    root = trio.lowlevel.current_root_task()
    assert root is not None  # noqa: S101 - there is one while the loop runs, and we are in it
    streams = sorted(sessions.streams, key=lambda stream: (-_age(stream), stream.id))
    own = {stream.task for stream in streams if stream.task is not None}
    rows = [*_session_rows(streams), Row(0, "other tasks"), *tree(root, without=own, depth=1)]
    count = len({(stream.prompt.owner, stream.prompt.session_id) for stream in streams})
    tasks = sum(1 for _ in walk(root))
    head = f"jarvis_trio pid={os.getpid()} sessions={count} streams={len(streams)} tasks={tasks}"
    text = f"{head}\n{render(rows)}"
    return f"{text}end of tasks made_in_ms={(time.thread_time() - began) * 1000:.1f}\n"


def _session_rows(streams: list[LiveStream]) -> Iterator[Row]:
    by_session: dict[tuple[str, str], list[LiveStream]] = {}
    for stream in streams:
        key = (stream.prompt.owner, stream.prompt.session_id)
        by_session.setdefault(key, []).append(stream)
    for (_, session_id), members in by_session.items():
        yield Row(0, f"session {session_id}")
        for stream in members:
            yield from _stream_rows(stream)


def _stream_rows(stream: LiveStream) -> list[Row]:
    facts = f"{stream.phase} age={_age(stream):.1f}s"
    if stream.cause is not None:
        facts += f" cause={stream.cause}"
    if stream.quarantined:
        facts += " quarantined"
    if stream.task is None:  # it has not had its first step
        return [Row(1, stream.id, place=facts)]
    own, *below = tree(stream.task, depth=1)
    return [own._replace(name=stream.id, place=f"{facts} at {own.place}"), *below]


def _age(stream: LiveStream) -> float:
    return trio.current_time() - stream.prompt.arrived_at
