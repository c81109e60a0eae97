"""The list of 100,000 conversations, page by page, as a client has it."""

import hashlib
import statistics
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from jarvis_trio.store.sql import SQLStore
from jarvis_trio.store.sql_tables import sessions
from tests.end_to_end.processes import KEY, NOBODY, running_server

SESSIONS = 100_000
PAGE = 50
PAGES = 200
MEDIAN_MS = 20
OWNER = hashlib.sha256(b"devkey").hexdigest()[:16]


def filled_database(folder: Path) -> str:
    """Return a database in which ``devkey`` has them all, updated in no order."""
    url = f"sqlite:///{folder / 'many.db'}"
    store = SQLStore(url)
    store.open()
    rows = [
        {
            "owner": OWNER,
            "id": f"session-{number}",
            "title": f"What is {number} and {number}?",
            "created_at": 1.0,
            "updated_at": 1_700_000_000.0 + number * 7919 % SESSIONS,
            "last_seq": 0,
            "last_stream": "",
        }
        for number in range(SESSIONS)
    ]
    with store._database.writing() as connection:
        connection.execute(insert(sessions), rows)
    store.close()
    return url


@pytest.mark.alone
def test_the_list_of_100_000_sessions_is_answered_in_under_20_ms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The median over pages from the first on; what was measured is printed."""
    seen: list[str] = []
    took: list[float] = []
    with (
        running_server(tmp_path, "simulated:", database=filled_database(tmp_path)) as server,
        httpx.Client(base_url=server.url, headers=KEY, trust_env=False, verify=NOBODY) as client,
    ):
        cursor = ""
        for _ in range(PAGES):
            began = time.perf_counter()
            answer = client.get("/v1/sessions", params={"limit": PAGE, "cursor": cursor})
            took.append(1000 * (time.perf_counter() - began))
            page = answer.raise_for_status().json()
            seen += [card["id"] for card in page["data"]]
            cursor = page["next_cursor"]
    with capsys.disabled():
        print(f"\nGET /v1/sessions of {SESSIONS}: median {statistics.median(took):.1f} ms")  # noqa: T201
    order = sorted(range(SESSIONS), key=lambda number: -(number * 7919 % SESSIONS))
    assert seen == [f"session-{number}" for number in order[: PAGE * PAGES]]
    assert statistics.median(took) < MEDIAN_MS
