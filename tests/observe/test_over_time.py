"""What was counted lately is taken from the totals, on a grid of time that does not slip."""

import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.events import Cause
from jarvis_trio.observe.metrics import Metrics
from jarvis_trio.observe.over_time import PIECE_SECONDS, PIECES, OverTime


class Counting:
    """Totals that a test makes."""

    def __init__(self) -> None:
        self.totals = Metrics().totals()
        self.over_time = OverTime(lambda: self.totals)

    def begin(self, *, stopped: int = 0) -> None:
        before = self.totals
        ended = {**before.ended, Cause.STOPPED: before.ended[Cause.STOPPED] + stopped}
        self.totals = replace(before, begun=before.begun + 1, ended=ended)


async def test_a_piece_holds_what_was_counted_in_it(autojump_clock: MockClock) -> None:
    counting = Counting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(counting.over_time.run)
        await trio.sleep(0.1)
        for stopped in range(3):
            await trio.sleep(PIECE_SECONDS - 0.2)
            counting.begin(stopped=stopped)
            await trio.sleep(0.2)
            lately = counting.over_time.lately()
        assert lately.begun == [1, 1, 1, 0]
        assert lately.ended[Cause.STOPPED] == [0, 1, 2, 0]
        assert lately.live == [1, 1, 0, 0]
        nursery.cancel_scope.cancel(reason="enough seen")


async def test_a_look_that_comes_late_moves_no_other(mock_clock: MockClock) -> None:
    counting = Counting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(counting.over_time.run)
        await wait_all_tasks_blocked()
        mock_clock.jump(PIECE_SECONDS + 2)
        await wait_all_tasks_blocked()
        counting.begin()
        mock_clock.jump(PIECE_SECONDS - 2)
        await wait_all_tasks_blocked()
        assert counting.over_time.lately().begun == [0, 1, 0]
        nursery.cancel_scope.cancel(reason="enough seen")


def test_it_is_there_before_it_runs_and_has_counted_nothing() -> None:
    over_time = OverTime(Metrics().totals)
    assert over_time.uptime_seconds == 0
    assert over_time.lately().begun == [0]
    assert PIECES * PIECE_SECONDS == 300
