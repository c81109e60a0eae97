"""How the benchmark measures: what it waits for, whose CPU it counts, who comes first."""

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.benchmarks.bench.accounting import cpu_ns, used_since
from tests.benchmarks.bench.client import Client
from tests.benchmarks.bench.record import Round
from tests.benchmarks.bench.rounds import Plan, in_turn, steps
from tests.benchmarks.peer import Command, NotHereError, Peer, Setting, printed, running
from tests.benchmarks.servers import OURS_TWICE, OURS_WITH_DEBUG
from tests.end_to_end.processes import reserved_port

TWO_IN_ONE = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        if Handler.asked == 2:
            print("ready", flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

print("ready", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""Answers at once, as a shared port does; what stands for the second process is ready later."""

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
BUSY_CHILD = """
import sys, time
while time.process_time() < 0.5:
    pass
print("done", flush=True)
sys.stdin.read()
"""


def test_a_server_of_two_processes_is_up_when_both_have_said_so(tmp_path: Path) -> None:
    def command(setting: Setting) -> Command:
        return Command([sys.executable, "-c", TWO_IN_ONE, str(setting.port)])

    peer = Peer("two", "in one", lambda _: "", command, ready="ready", processes=2)
    with reserved_port() as port, running(peer, Setting(port, "", tmp_path)):
        assert printed(tmp_path).count("ready") == 2


def test_the_cpu_of_a_server_is_that_of_all_that_it_has_started() -> None:
    words = [sys.executable, "-c", PARENT, BUSY_CHILD]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"done\n"
        used = cpu_ns(parent.pid)
        parent.communicate()
    assert len(used) == 2
    assert used.pop(parent.pid) < 500_000_000 <= sum(used.values())


def test_what_a_process_had_used_that_is_no_more_is_not_taken_off() -> None:
    assert used_since({1: 5, 2: 1000}, {1: 7, 3: 40}) == [40, 2]


def test_the_client_knows_how_late_it_is_with_what_it_had_planned() -> None:
    with reserved_port() as port, Client(port, None) as client:
        done: list[int] = []
        due = time.monotonic_ns() - 30_000_000
        client.plan(due, lambda: done.append(time.monotonic_ns()))
        assert client.run(lambda: done, 5)
        (late_us,) = client.late_us
        assert 30_000 <= late_us <= (done[0] - due) // 1000


def test_the_client_is_done_when_what_it_had_planned_was_the_last() -> None:
    with reserved_port() as port, Client(port, None) as client:
        done: list[int] = []
        client.plan(time.monotonic_ns(), lambda: done.append(1))
        begun = time.monotonic()
        assert client.run(lambda: done, 60)
        assert time.monotonic() - begun < 30


def test_every_other_round_has_the_servers_in_reverse() -> None:
    assert [in_turn("abc", number) for number in (1, 2, 3)] == ["abc", "cba", "abc"]


@pytest.mark.parametrize("peer", [OURS_TWICE, OURS_WITH_DEBUG], ids=lambda peer: peer.name)
def test_of_ours_in_other_ways_only_streams_are_measured_and_not_every_number(peer: Peer) -> None:
    started = []

    def command(setting: Setting) -> Command:
        started.append(setting)
        raise NotHereError("it is not started here")

    plan = Plan()
    named = Peer(peer.name, "a server", lambda _: "", command)
    for name, step in steps(plan):
        found = Round("one", 1, peer.name, "", datetime(2026, 1, 2, tzinfo=UTC), "")
        if name in [f"{streams} streams" for streams in plan.streams_only[peer.name]]:
            with pytest.raises(NotHereError):
                step(named, found)
        else:
            step(named, found)
    assert len(started) == len(plan.streams_only[peer.name])
