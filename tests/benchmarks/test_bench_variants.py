"""What the benchmark says of two processes, of unwanted events, and of its own lateness."""

from xml.etree import ElementTree as ET

from tests.benchmarks.bench.figure import Figure
from tests.benchmarks.bench.page import write_page
from tests.benchmarks.bench.picture import draw
from tests.benchmarks.bench.record import Departure, FirstText
from tests.benchmarks.bench.targets import targets
from tests.benchmarks.measured import MS, load, measured, stream, told_of
from tests.benchmarks.peer import OURS
from tests.benchmarks.servers import OURS_TWICE, OURS_WITH_DEBUG


def test_two_processes_stand_beside_one_with_the_cores_that_everybody_used() -> None:
    one, two = load(30), load(32)
    one.processes_cpu_ns = [3000 * MS]
    two.processes_cpu_ns = [1500 * MS, 1200 * MS, 1 * MS]
    two.lateness.client_cpu_ns = 500 * MS
    page = write_page(told_of(measured(OURS, 1, one), measured(OURS_TWICE.name, 1, two)))
    assert (
        f"| 100 streams | {OURS} | 2.00 | 2.00 / 2.00 | 2.00 | 30.0 | 0.60 | 0.20 | 0.20 |" in page
    )
    wanted = f"| 100 streams | {OURS_TWICE.name} | 2.00 | 2.00 / 2.00 | 2.00 | 32.0 | "
    assert f"{wanted}0.30 + 0.24 | 0.10 | 0.20 |\n" in page


def test_without_two_processes_nothing_is_said_of_them() -> None:
    page = write_page(told_of(measured(OURS, 1, load(30))))
    assert "Two processes" not in page
    assert "nobody wants" not in page


def test_events_that_nobody_wants_are_told_as_part_of_a_frame() -> None:
    # A load's one stream has ten tokens in three reads: 300 µs of CPU are 100 for each of them.
    name, found = measured(OURS, 1, load(30))
    found.debug_lines, found.debug_frames = 40, 10
    found.debug_call_ns, found.absent_subscriber_ns = [120.0, 90.0, 100.0], [50.0]
    debug = measured(OURS_WITH_DEBUG.name, 1, load(45))
    summary = told_of((name, found), debug)
    (ours, _) = summary.servers
    assert ours.events is not None
    assert ours.events.debug_call_ns == Figure({1: 100})
    page = write_page(summary)
    assert "An answer in 10.0 frames has 40.0 debug events" in page
    # Four calls and a look: 450 of 100,000 ns.
    assert "takes 100 µs of CPU: 0.45 % of that" in page
    assert "then a token takes 45.0 µs, 1.50 times" in page


def test_what_debugging_costs_is_no_row_of_the_tables_and_no_line_of_the_picture() -> None:
    loads = [load(30, size=100), load(40, size=300)]
    summary = told_of(
        measured(OURS, 1, *loads),
        measured(OURS_WITH_DEBUG.name, 1, load(45, size=200)),
    )
    assert summary.sizes == [100, 300]
    assert f"\n| {OURS_WITH_DEBUG.name} | 45" not in write_page(summary)
    assert OURS_WITH_DEBUG.name not in draw(summary)


def test_the_picture_has_a_line_for_each_server_however_many() -> None:
    names = [f"server {number}" for number in range(9)]
    summary = told_of(*(measured(name, 1, load(30), load(40, size=300)) for name in names))
    picture = ET.fromstring(draw(summary))  # noqa: S314 - our own
    assert set(names) <= {each.text for each in picture.iter()}


def test_superseding_is_judged_by_what_a_prompt_takes_that_supersedes_nothing() -> None:
    name, found = measured(OURS, 1, load(30))
    # The model server took 50 ms, ours 2 more, and 6 more where a prompt superseded.
    found.fresh = [FirstText(100 * MS, 152 * MS, 101 * MS, 151 * MS)]
    found.supersedes = [FirstText(100 * MS, 156 * MS, 101 * MS, 151 * MS)]
    summary = told_of((name, found))
    (ours,) = summary.servers
    assert ours.fresh_p50_ms == Figure({1: 2})
    assert ours.supersede_p50_ms == Figure({1: 6})
    judged = [target for target in targets(summary) if "supersed" in target.what]
    assert [(target.limit, target.measured) for target in judged] == [(3, Figure({1: 4}))] * 2
    found.departures_idle = [Departure(5 * MS, 6 * MS)]
    assert "| 6.00 / 6.00 | 2.00 / 2.00 |\n" in write_page(told_of((name, found)))


def test_a_target_tells_when_what_it_compares_did_not_keep_up() -> None:
    summary = told_of(
        measured(OURS, 1, load(30), load(20, stream(late_ms=1500), size=1000)),
        measured("Starlette", 1, load(90, stream(late_ms=1500))),
        measured("nginx", 1, load(10)),
    )
    kept_up = {target.what: target.kept_up for target in targets(summary)}
    assert not kept_up["CPU per token, 100 streams, over Starlette's"]
    assert kept_up["CPU per token, 100 streams, over nginx's"]
    assert not kept_up["CPU per token, 1000 streams, over that of 100"]
    assert not kept_up["added TTFT p99, 1000 streams"]
    page = write_page(summary)
    assert (
        "| CPU per token, 100 streams, over Starlette's | 0.35 times | 0.33 times † | met |" in page
    )


def test_the_page_tells_how_late_the_benchmark_itself_was() -> None:
    late = load(30)
    late.lateness.client_p99_us, late.lateness.asked_p99_us = 2000, 7000
    late.lateness.upstream_p99_us = 3000
    page = write_page(told_of(measured(OURS, 1, late)))
    assert f"| {OURS} | 7.00 / 3.00 |\n" in page
    assert f"- {OURS}, 100 streams, round 1: the client was 7 ms late (p99).\n" in page
