"""What was counted lately is taken from the totals, on a grid of time that does not slip."""

import trio
from msgspec.structs import replace
from trio.testing import MockClock

from jarvis_trio.events import Cause
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.observe.over_time import PIECE_SECONDS, PIECES, OverTime


async def test_a_piece_holds_what_was_counted_in_it_also_when_looks_are_late(
    autojump_clock: MockClock,
) -> None:
    totals = Metrics().totals()

    over_time = OverTime(lambda: totals)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(over_time.run)
        for number in range(3):
            await trio.sleep(PIECE_SECONDS - 0.1)
            ended = {**totals.ended, Cause.STOPPED: number}
            totals = replace(totals, begun=totals.begun + number, ended=ended)
            await trio.sleep(0.1)
        await trio.sleep(0.1)
        assert over_time.lately().begun == [0, 1, 2, 0]
        assert over_time.lately().ended[Cause.STOPPED] == [0, 1, 1, 0]
        assert over_time.lately().live == [0, 0, 1, 1]
        nursery.cancel_scope.cancel(reason="enough seen")


def test_it_is_there_before_it_runs_and_has_counted_nothing() -> None:
    over_time = OverTime(Metrics().totals)
    assert over_time.uptime_seconds == 0
    assert over_time.lately().begun == [0]
    assert PIECES * PIECE_SECONDS == 300
