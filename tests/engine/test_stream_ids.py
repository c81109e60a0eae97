"""Stream ids: they sort by time, and tell it."""

import time

import pytest

from jarvis_trio.engine.stream_ids import CROCKFORD, made_at, new_stream_id


def test_stream_ids_are_ulids_that_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.time_ns()]
    monkeypatch.setattr("time.time_ns", lambda: now[0])
    ids = []
    for _ in range(100):
        ids.append(new_stream_id())
        now[0] += 1_000_000
    assert ids == sorted(ids)
    assert all(len(name) == 30 and name.startswith("str_") for name in ids)
    assert all(set(name[4:]) <= set(CROCKFORD) for name in ids)
    assert len({new_stream_id() for _ in range(1000)}) == 1000


def test_an_id_tells_to_the_millisecond_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for milliseconds in (0, 1, 1_753_000_000_123, (1 << 48) - 1):
        monkeypatch.setattr("time.time_ns", lambda now=milliseconds: now * 1_000_000 + 999_999)
        assert made_at(new_stream_id()) == milliseconds / 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "str_",
        "str_01",
        "STR_01K0000000000000000000000A",
        "str_01K0000000000000000000000",  # one short
        "str_01K0000000000000000000000AA",  # one long
        "str_81K0000000000000000000000A",  # past what 128 bits hold
        "str_01K0000000000000000000000U",  # no letter of Crockford's
        "str_01k0000000000000000000000a",
        "str_01K0000000000000000000000A\n",
        "str_\N{FULLWIDTH DIGIT ONE}1K0000000000000000000000A",
    ],
)
def test_what_is_no_id_of_ours_tells_no_time(text: str) -> None:
    assert made_at(text) is None
