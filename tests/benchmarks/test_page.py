"""docs/peers.md is what the reports say, whatever a server may have said."""

from datetime import UTC, datetime

import msgspec

from jarvis_trio.storm.report.json_file import write_json
from jarvis_trio.storm.trial import Latency, Trial
from tests.benchmarks.peers.page import Measured, Played, Run, write_page
from tests.storm.report.reports import HOSTILE, failed, passed, report, skipped

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = Run(cores=2, system="Linux x86_64")


def measured(name: str, *trials: Trial, sim: str | None = "http://127.0.0.1:9999") -> Measured:
    told = msgspec.structs.replace(report(*trials), sim=sim)
    played = [msgspec.json.decode(write_json(told), type=Played)]
    return Measured(name, "a server", AT, "one 1.0", "run one", "jarvis-trio storm", played)


def quick() -> Trial:
    trial = passed()
    trial.latencies = [Latency("last prompt to its first text", 10, 1.5, 2.5, 2.5)]
    return trial


def test_each_server_has_its_column_and_each_failure_its_evidence() -> None:
    page = write_page(
        RUN,
        [
            measured("jarvis-trio", passed(), failed(), skipped()),
            measured("other", quick(), failed("4 | 5"), skipped()),
            Measured("third", "not here", AT, missing="no such program"),
        ],
    )
    assert "Measured: 2026-01-02; Linux x86_64, 2 cores" in page
    assert "| scenario | jarvis-trio | other |\n| --- | --- | --- |\n" in page
    assert "| `rapid` | pass | pass |\n" in page
    assert "| `leavers` | **fail** | **fail** |\n| `stop` | n/a | n/a |\n" in page
    assert "- `leavers`: not so: the model is freed (4 \\| 5). And 1 more.\n" in page
    assert "- other, `stop`: needs --sim.\n" in page
    assert "third was not measured here: no such program\n" in page
    assert "run one\njarvis-trio storm\n" in page


def test_a_server_that_is_out_of_order_afterwards_is_said_to_be() -> None:
    wedged = failed()
    wedged.expect("afterwards, the server answers a prompt", holds=False, seen="nothing for 5 s")
    page = write_page(RUN, [measured("other", wedged)])
    assert "). And 2 more; afterwards, the server did not answer a prompt.\n" in page
    assert "And 1 more." in write_page(RUN, [measured("other", failed())])


def test_where_another_does_better_is_said() -> None:
    works = Trial("leavers", "A client that leaves frees the model.")
    works.expect("the model is freed", holds=True)
    ours = measured("jarvis-trio", passed(), failed())
    page = write_page(RUN, [ours, measured("other", quick(), works)])
    assert "- `leavers`: other passes; ours: fail.\n" in page
    assert "- `rapid`, last prompt to its first text: other 1.5 ms, ours 7.3 ms.\n" in page
    assert "Nowhere" not in page
    assert "Nowhere in this run." in write_page(RUN, [ours, ours])


def test_a_scenario_that_failed_is_not_compared_by_its_speed() -> None:
    broken = quick()
    broken.expect("it is answered", holds=False)
    page = write_page(RUN, [measured("jarvis-trio", passed()), measured("other", broken)])
    assert "Nowhere in this run." in page


def test_another_model_server_is_not_compared_by_its_speed() -> None:
    ours, other = measured("jarvis-trio", passed()), measured("other", quick(), sim=None)
    assert "Nowhere in this run." in write_page(RUN, [ours, other])


def test_what_a_server_says_is_text() -> None:
    page = write_page(RUN, [measured("other", failed(HOSTILE.replace("\ud800", "")))])
    assert all(line.isprintable() for line in page.splitlines())
    assert "\\<script\\>" in page
    assert "<script>" not in page
