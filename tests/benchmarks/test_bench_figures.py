"""What the benchmark computes, and what it says of it."""

from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.bench.answer import answer_of
from tests.benchmarks.bench.arithmetic import kept_up, percentile, remarks
from tests.benchmarks.bench.figure import Figure
from tests.benchmarks.bench.page import write_page
from tests.benchmarks.bench.picture import draw
from tests.benchmarks.bench.record import Departure, FirstText, Lateness
from tests.benchmarks.bench.targets import targets
from tests.benchmarks.bench.tokens import ROLE, TOKENS, Asked, asked, end
from tests.benchmarks.measured import MS, load, measured, stream, told_of
from tests.benchmarks.peer import OURS

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKED = Asked("m1", 3, 0)


def chunked(*events: bytes) -> bytes:
    chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    return b"".join([HEAD, *chunks, b"0\r\n\r\n"])


def test_tokens_are_counted_wherever_the_reads_are_cut() -> None:
    data = chunked(ROLE, *TOKENS[:3], end(3))
    for cut in range(1, len(data)):
        answer = answer_of(ASKED, [(1, data[:cut]), (2, data[cut:])], None)
        assert (answer.tokens, answer.fault) == (3, None)


def test_the_tokens_of_a_read_are_those_that_it_brings() -> None:
    data = chunked(ROLE, *TOKENS[:3], end(3))
    cut = data.index(b"tok001")
    answer = answer_of(ASKED, [(1, data[:cut]), (2, data[cut:]), (3, b"")], None)
    assert answer.reads == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (chunked(ROLE, TOKENS[0], TOKENS[2], TOKENS[1], end(3)), "not what the model said"),
        (chunked(ROLE, *TOKENS[:2], end(2)), "not what the model said"),
        (chunked(ROLE, *TOKENS[:3]), "does not end as it should"),
        (chunked(ROLE, *TOKENS[:3], end(3))[:-5], "closed before its end"),
        (b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"what?", "not HTTP"),
    ],
)
def test_an_answer_that_is_not_whole_is_told_by_what_it_lacks(data: bytes, fault: str) -> None:
    assert fault in (answer_of(ASKED, [(1, data)], None).fault or "")


def test_what_the_client_knows_to_be_wrong_is_told_first() -> None:
    assert answer_of(ASKED, [], "it did not end in time").fault == "it did not end in time"


def test_a_prompt_is_what_its_answer_is_made_of() -> None:
    assert asked(b'{"content": "%s"}' % ASKED.prompt.encode()) == ASKED
    assert asked(b'{"content": "hello"}') is None


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile(range(1, 51), 0.99) == 50
    assert percentile([7], 0.01) == 7


def test_a_ratio_is_taken_within_a_round() -> None:
    ours, its = Figure({1: 10, 2: 30}), Figure({1: 20, 2: 40, 3: 1})
    ratio = ours.over(its)
    assert ratio == Figure({1: 0.5, 2: 0.75})
    assert (ratio.low, ratio.median, ratio.high) == (0.5, 0.625, 0.75)
    assert ours.over(Figure({3: 1})) is None


def test_the_numbers_of_a_load_are_what_its_moments_say() -> None:
    (server,) = told_of(measured(OURS, 1, load(30))).servers
    figures = server.load(100)
    assert figures is not None
    assert figures.cpu_us == Figure({1: 30})
    assert figures.ttft_p50_ms == Figure({1: 2})
    assert (figures.gap_p50_ms, figures.gap_p99_ms) == (Figure({1: 75}), Figure({1: 105}))
    assert figures.behind_p99_ms == Figure({1: 2})
    assert figures.rss_kb == Figure({1: 80})
    assert (figures.whole, figures.answers, figures.kept_up) == (1, 1, True)
    assert figures.remarks == []


def test_who_is_late_or_loses_an_answer_has_not_kept_up_and_is_told() -> None:
    late, lost = load(30, stream(late_ms=1500)), load(30, stream(), stream("status 503"))
    assert kept_up(load(30))
    assert not kept_up(late)
    assert not kept_up(lost)
    assert remarks(late) == ["it did not keep up: 1.5 s behind at the end (p99)"]
    assert remarks(lost) == ["1 answers were not whole, the first: status 503"]


def test_a_benchmark_that_was_slow_or_disturbed_says_so() -> None:
    slow = load(30)
    slow.lateness = Lateness(1, 1, 9000, 9000, 4500 * MS, 1000 * MS)
    slow.machine_busy_ns += 5000 * MS
    assert remarks(slow) == [
        "the mock model server used 90 % of a core",
        "the client was 9 ms late (p99)",
        "other processes used 0.3 cores",
    ]


def test_a_target_says_whether_it_was_met_and_by_how_much_it_was_missed() -> None:
    summary = told_of(
        measured(OURS, 1, load(30), load(40, size=1000)),
        measured("Starlette", 1, load(90)),
        measured("nginx", 1, load(10)),
    )
    verdicts = {target.what: target.verdict for target in targets(summary)}
    assert verdicts["CPU per token, 100 streams, over Starlette's"] == "met"
    assert verdicts["CPU per token, 100 streams, over nginx's"] == "**missed** by 20 %"
    assert verdicts["CPU per token, 1000 streams, over that of 100"] == "**missed** by 16 %"
    assert verdicts["CPU per token, 300 streams, over LiteLLM's"] == "not measured"
    assert verdicts["answers that were not whole, 1000 streams"] == "met"


def test_departures_and_superseding_are_told_beyond_what_the_model_server_took() -> None:
    name, found = measured(OURS, 1, load(30))
    found.departures_busy = [Departure(5 * MS, 6 * MS), Departure(9 * MS, 0)]
    found.supersedes = [FirstText(100 * MS, 155 * MS, 102 * MS, 152 * MS)]
    (server,) = told_of((name, found)).servers
    assert server.cancel_idle_p50_ms is None
    assert server.cancel_busy_p50_ms == Figure({1: 1})
    assert server.cancel_busy_p99_ms == Figure({1: 5000})
    assert server.unclosed == 1
    assert server.supersede_p50_ms == Figure({1: 5})
    assert "1 departures were not noticed within 5 s" in write_page(told_of((name, found)))


def test_the_page_has_the_spread_the_ratios_and_who_is_missing() -> None:
    name, absent = measured("LiteLLM", 1)
    absent.missing, absent.versions = "no such program", ""
    late = stream(late_ms=1500)
    page = write_page(
        told_of(
            measured(OURS, 1, load(30)),
            measured(OURS, 2, load(34)),
            measured("Starlette", 1, load(60, late)),
            measured("Starlette", 2, load(85, late)),
            (name, absent),
        )
    )
    assert "Measured: 2026-01-02, 2 rounds; Linux.\n" in page
    assert f"| {OURS} | 32.0 (30.0 to 34.0) |\n" in page
    assert "| Starlette | 72.5 (60.0 to 85.0); 2.25 (2.00 to 2.50) times † |\n" in page
    assert "LiteLLM was not measured here: no such program\n" in page
    assert "- Starlette, 100 streams, round 1: it did not keep up: 1.5 s behind" in page
    assert "not all measured in one run" not in page
    assert "`jarvis-trio.1.json`, `jarvis-trio.2.json`, `Starlette.1.json`" in page


def test_servers_of_several_runs_are_not_passed_off_as_one() -> None:
    name, other = measured("nginx", 1, load(10))
    other.run = "another"
    page = write_page(told_of(measured(OURS, 1, load(30)), (name, other)))
    assert "**not all measured in one run**, but in 2" in page


def test_the_picture_has_a_line_with_its_name_for_each_server() -> None:
    loads = [load(30, size=100), load(40, size=1000)]
    summary = told_of(measured(OURS, 1, *loads), measured("nginx", 1, *loads))
    picture = ET.fromstring(draw(summary))  # noqa: S314 - our own
    names = {each.text: float(each.get("y", "0")) for each in picture.iter() if each.text}
    assert abs(names[OURS] - names["nginx"]) >= 15
    assert {"100", "1,000", "20", "50"} <= names.keys()


def test_a_picture_of_nothing_is_a_picture() -> None:
    ET.fromstring(draw(told_of()))  # noqa: S314 - our own
