"""A process whose loop is stuck, or free, while SIGUSR1 comes; it ends when it has reported.

``python stuck.py stuck`` says so and reads a line on the loop's own thread; ``free`` just waits.
"""

import sys

import trio
import trio.testing

from jarvis_trio.observe.logs import LineWriter
from jarvis_trio.observe.signal_report import report_on_signal


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def get_stuck() -> None:
    say("stuck")
    sys.stdin.readline()


async def main(how: str) -> None:
    reported = trio.Event()

    def make_report() -> str:
        reported.set()
        return "REPORT"

    writer = LineWriter(sys.stderr, str)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(report_on_signal, make_report, writer.msg)
            await trio.testing.wait_all_tasks_blocked()
            if how == "stuck":
                get_stuck()
            else:
                say(how)
            await reported.wait()
            say("reported")
            nursery.cancel_scope.cancel(reason="it has reported")
    sys.stdin.readline()
    writer.close()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
