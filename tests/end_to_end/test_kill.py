"""kill -9 at any instant of a storm: the history is whole, and says what was interrupted.

A turn is acknowledged when its client has read the finish reason and ``[DONE]`` and had sent no
later prompt by then: such a prompt is not held up by the write.
"""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.processes import Sim
from tests.end_to_end.serving import environment, serving

STORMS = 50
SESSIONS = 4
LONGEST_SECONDS = 0.4
TOKENS = 12
WHOLE = "".join(f"w{n} " for n in range(TOKENS))
MODEL = f"sim?tps=500&tokens={TOKENS}"

PATIENT = """
from jarvis_trio.cli import main
from jarvis_trio.engine import history

history.PATIENCE_SECONDS = 60
main()
"""
"""Serves, and waits for its database however busy the machine is: else it says so, and goes on."""


class Told:
    """What the clients of one session were told, prompt by prompt."""

    def __init__(self) -> None:
        self.answers: dict[str, Exchange] = {}
        self.undisturbed: set[str] = set()

    @property
    def acknowledged(self) -> list[str]:
        return [
            text
            for text in self.answers
            if text in self.undisturbed and self.answers[text].is_complete
        ]

    def note_end(self, text: str) -> None:
        """Note whether a later prompt has been sent by now."""
        if text == next(reversed(self.answers)):
            self.undisturbed.add(text)


async def storm(
    url: str, process: subprocess.Popen[bytes], number: int, told: dict[str, Told]
) -> None:
    """Send prompts over each other until the server is killed amid them."""
    rng = random.Random(number)  # noqa: S311 - reproducible, not secret

    async def send(session: str, text: str) -> None:
        exchange = told[session].answers[text] = Exchange()
        try:
            await prompt(url, text, session=session, exchange=exchange, model=MODEL)
        finally:
            told[session].note_end(text)

    async def keep_sending(session: str) -> None:
        async with trio.open_nursery() as prompts:
            for count in range(1000):
                text = f"{session} storm {number} prompt {count}"
                prompts.start_soon(send, session, text)
                # Some are superseded at once, some amid their answer, some are answered.
                await trio.sleep(rng.choice([0.0, 0.005, 0.02, 0.08]))

    async with trio.open_nursery() as clients:
        for session in told:
            clients.start_soon(keep_sending, session)
        await trio.sleep(rng.uniform(0.02, LONGEST_SECONDS))
        process.kill()
        clients.cancel_scope.cancel(reason="the server is no more")


def kept(database: Path, session: str) -> Iterator[tuple[str, tuple[str, str, str | None]]]:
    """Yield each turn: the prompt, the answer, its state, its cause."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT m.role, m.text, m.state, m.cause FROM messages m JOIN sessions s"
            " ON m.session = s.key WHERE s.id = ? ORDER BY m.seq",
            [session],
        ).fetchall()
    assert len(rows) % 2 == 0
    for asked, answer in zip(rows[::2], rows[1::2], strict=True):
        assert (asked[0], answer[0]) == ("user", "assistant")
        yield asked[1], (answer[1], answer[2], answer[3])


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")  # of cut-off clients
def test_no_kill_takes_a_turn_that_was_acknowledged_or_passes_off_half_an_answer_as_whole(
    tmp_path: Path, sim: Sim
) -> None:
    database = tmp_path / "history.db"
    told = {f"s{n}": Told() for n in range(SESSIONS)}
    for number in range(STORMS):
        with subprocess.Popen(
            [sys.executable, "-c", PATIENT, "serve", "--port", "0"],
            env=environment(
                upstream=sim.upstream("openai"),
                database=f"sqlite:///{database}",
                log_level="error",
            ),
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            ready = process.stdout.readline().decode()
            assert ready.startswith("jarvis_trio ready on "), ready
            trio.run(storm, ready.split()[3], process, number, told)
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    acknowledged = interrupted = 0
    for session, exchanges in told.items():
        turns = dict(kept(database, session))
        sent = list(exchanges.answers)
        assert list(turns) == [text for text in sent if text in turns], "not in their order"
        for text in exchanges.acknowledged:
            assert exchanges.answers[text].text == WHOLE
            assert turns[text] == (WHOLE, "complete", "completed")
            acknowledged += 1
        for text, (answer, state, cause) in turns.items():
            assert (state == "complete") == (answer == WHOLE and cause == "completed"), text
            assert WHOLE.startswith(answer)
            interrupted += state == "interrupted"
    assert acknowledged > STORMS
    assert interrupted > STORMS


def test_a_shutdown_waits_a_little_for_what_is_not_written_yet(tmp_path: Path) -> None:
    """The database is locked until the server has told that all its streams are gone."""
    database = tmp_path / "var" / "jarvis.db"
    with serving(tmp_path) as server:
        trio.run(partial(prompt, server.url, "What is 1+1?", session="s"))
        with closing(sqlite3.connect(database, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            trio.run(partial(prompt, server.url, "What is 2+2?", session="s"))
            server.process.terminate()
            server.wait_for_log("events_bus_closed")
            lock.execute("ROLLBACK")
        assert server.process.wait(30) == 0
    _, (text, (answer, state, _)) = kept(database, "s")
    assert (text, state) == ("What is 2+2?", "complete")
    assert answer.startswith("2+2 = 4.")
