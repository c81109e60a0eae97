"""Prompts in time, and their picture."""

from typing import Any, cast

import pytest

from jarvis_trio.storm.answer import Answer
from jarvis_trio.storm.call import Call
from jarvis_trio.storm.report.timeline import LEFT, MOST_ROWS, RIGHT, WIDTH, draw_timeline
from jarvis_trio.storm.timeline import rows_of
from jarvis_trio.storm.trial import Row
from jarvis_trio.storm.witness import Seen
from tests.storm.report.reports import read_xml

ZERO = 5_000_000_000_000


def ns(t_ms: float) -> int:
    return ZERO + round(t_ms * 1e6)


def call(sent: float, **times: float) -> Call:
    made = Call(cast("Any", None), cast("Any", None))
    made.sent_ns = ns(sent)
    for name, t_ms in times.items():
        setattr(made, f"{name}_ns", ns(t_ms))
    return made


def test_each_prompt_has_a_row_in_the_order_of_sending() -> None:
    first = call(0, head=2, first_text=3, ended=51)
    first.pieces = [(ns(2), 90), (ns(3), 40), (ns(20), 40)]
    second = call(50, left=70)
    hanging = call(60)
    seen = [
        Seen("a", "arrival", ns(1), 1),
        Seen("a", "closed", ns(50.5), 1),
        Seen("b", "arrival", ns(52), 2),
        Seen("other", "arrival", ns(53), 3),
    ]
    assert rows_of(
        {"b": second, "c": hanging, "a": first}, {"a": Answer(200, is_done=True)}, seen
    ) == [
        Row(
            "prompt 1",
            "HTTP 200, [DONE]",
            [("sent", 0), ("first byte", 2), ("first text", 3), ("text", 20), ("end", 51)],
            [("arrival", 1), ("closed", 50.5)],
        ),
        Row("prompt 2", "its client left", [("sent", 50), ("left", 70)], [("arrival", 52)]),
        Row("prompt 3", "no ending", [("sent", 60)], []),
    ]


def test_a_model_server_on_another_clock_is_left_out() -> None:
    (row,) = rows_of({"a": call(0)}, {}, [Seen("a", "arrival", ns(3_600_000), 1)])
    assert row.upstream == []


def test_no_prompts_are_no_picture() -> None:
    assert rows_of({}, {}, []) == []
    assert draw_timeline([]) == ""
    assert draw_timeline([Row("a", "b", [], [])]) == ""


def bars(picture: str, lane: str) -> list[tuple[float, float]]:
    """Return the bars of a lane, as (from, to), without the legend's."""
    found = [each for each in read_xml(picture).iter("rect") if each.get("class") == lane]
    places = [(float(each.get("x", "")), float(each.get("width", ""))) for each in found]
    return [(x, x + width) for x, width in places[:-1]]


def test_both_lanes_are_drawn_on_one_axis() -> None:
    rows = [
        Row("1", "", [("sent", 0.0), ("end", 50.0)], [("arrival", 25.0), ("closed", 50.0)]),
        Row("2", "", [("sent", 50.0), ("end", 100.0)], []),
    ]
    picture = draw_timeline(rows)
    right = WIDTH - RIGHT
    middle = (LEFT + right) / 2
    assert bars(picture, "client") == [(LEFT, middle), (middle, right)]
    assert bars(picture, "upstream") == [((LEFT + middle) / 2, middle)]
    ticks = [each.text for each in read_xml(picture).iter("text") if each.get("class")]
    assert ticks == [str(t_ms) for t_ms in range(0, 101, 10)]
    told = [each.text for each in read_xml(picture).iter("title")]
    assert "upstream: closed at 50.0 ms" in told


def test_what_never_ended_is_open_to_the_last() -> None:
    rows = [Row("1", "", [("sent", 0.0)], [("arrival", 10.0), ("arrival", 20.0)])]
    rows.append(Row("2", "", [("sent", 50.0), ("end", 100.0)], []))
    picture = draw_timeline(rows)
    right = WIDTH - RIGHT
    assert bars(picture, "client")[0] == (LEFT, right)
    assert [end for _, end in bars(picture, "upstream")] == pytest.approx([right, right], abs=0.2)


@pytest.mark.parametrize("last_ms", [0.0, 0.4, 7.0, 999.0, 10_000.0, 3_600_000.0])
def test_the_axis_has_some_round_times(last_ms: float) -> None:
    picture = draw_timeline([Row("1", "", [("sent", -3.0), ("end", last_ms)], [])])
    ticks = [float(each.text or "") for each in read_xml(picture).iter("text") if each.get("class")]
    assert 2 <= len(ticks) <= 11
    assert all(-3 <= t_ms <= last_ms for t_ms in ticks)


def test_more_prompts_than_anybody_reads_are_the_last_ones() -> None:
    rows = [Row(f"prompt {n}", "", [("sent", float(n))], []) for n in range(1000)]
    picture = draw_timeline(rows)
    assert f"The last {MOST_ROWS} of 1000 prompts." in picture
    assert ">prompt 999<" in picture
    assert ">prompt 959<" not in picture
