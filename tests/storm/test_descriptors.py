"""What a process and its children hold."""

import os
import resource
import subprocess
import sys

from jarvis_trio.storm.descriptors import allow_many_descriptors, read_holdings

HOLD_SOME = """
import sys, subprocess
files = [open("/dev/null") for _ in range(int(sys.argv[1]))]
if len(sys.argv) > 2:
    child = subprocess.Popen([sys.executable, "-c", sys.argv[3], sys.argv[2]],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
print("ready", flush=True)
sys.stdin.readline()
if len(sys.argv) > 2:
    child.communicate()
"""


def test_a_child_counts_too() -> None:
    command = [sys.executable, "-c", HOLD_SOME, "30", "40", HOLD_SOME]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        held = read_holdings(process.pid)
        process.communicate()
    assert held is not None
    assert held.processes == 2
    assert 70 <= held.descriptors <= 85
    assert held.resident_bytes > 2_000_000
    assert held.cpu_seconds >= 0
    assert str(held).startswith(f"{held.descriptors} descriptors and ")
    assert read_holdings(process.pid) is None


def test_the_limit_of_descriptors_is_raised_as_far_as_it_goes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        assert allow_many_descriptors() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ones_own_descriptors_are_counted_as_they_come_and_go() -> None:
    before = read_holdings(os.getpid())
    with open(os.devnull, encoding="ascii"):  # noqa: PTH123 - a descriptor
        during = read_holdings(os.getpid())
    assert before is not None
    assert during is not None
    assert during.descriptors == before.descriptors + 1
