"""The arithmetic of stalls, in virtual time; real sockets are in the end-to-end tests."""

import pytest
import trio
from trio.testing import MockClock

from jarvis_trio.web import stall_watch
from jarvis_trio.web.peer_sockets import Ends
from jarvis_trio.web.stall_watch import StallWatch

ENDS: Ends = (("127.0.0.1", 1), ("127.0.0.1", 2))
TIMEOUT = 20


class Sender:
    """A response with a send under way."""

    def __init__(self, *, shares_connection: bool = False, ends: Ends | None = ENDS) -> None:
        self.ends = ends
        self.shares_connection = shares_connection
        self.given_up_at: float | None = None

    def give_up(self) -> None:
        self.given_up_at = trio.current_time()


class Kernel:
    """What the sockets would tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        self.shut: list[set[Ends]] = []
        monkeypatch.setattr(stall_watch, "acknowledged_bytes", self.acknowledged_bytes)
        monkeypatch.setattr(stall_watch, "shut_down", self.shut.append)

    def acknowledged_bytes(self, connections: set[Ends]) -> dict[Ends, int]:
        return dict.fromkeys(connections, self.taken)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


async def test_a_connection_that_stands_still_is_shut_down_in_time(
    autojump_clock: MockClock, kernel: Kernel
) -> None:
    watch, sender = StallWatch(TIMEOUT), Sender()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(3)
        began = trio.current_time()
        watch.begin(sender)
        await trio.sleep(TIMEOUT)
        assert sender.given_up_at is None
        await trio.sleep(TIMEOUT / 2)
        assert sender.given_up_at is not None
        assert TIMEOUT <= sender.given_up_at - began <= 1.5 * TIMEOUT
        assert kernel.shut == [{ENDS}]
        await trio.sleep(10 * TIMEOUT)
        assert len(kernel.shut) == 1
        nursery.cancel_scope.cancel(reason="the test is over")


@pytest.mark.parametrize("shares_connection", [False, True])
async def test_while_bytes_are_taken_only_a_shared_connections_own_stream_is_given_up(
    autojump_clock: MockClock, kernel: Kernel, shares_connection: bool
) -> None:
    watch, sender = StallWatch(TIMEOUT), Sender(shares_connection=shares_connection)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        watch.begin(sender)
        for _ in range(100):
            await trio.sleep(1)
            kernel.taken += 1
        assert kernel.shut == []
        assert (sender.given_up_at is not None) is shares_connection
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_quick_sends_are_never_looked_at_and_an_idle_watch_sleeps(
    autojump_clock: MockClock, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def look(connections: set[Ends]) -> dict[Ends, int]:
        looks.append(connections)
        return {}

    monkeypatch.setattr(stall_watch, "acknowledged_bytes", look)
    watch, sender = StallWatch(TIMEOUT), Sender()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        for _ in range(200):
            watch.begin(sender)
            await trio.sleep(1)
            watch.end(sender)
            watch.end(sender)
        await trio.sleep(10_000)
        assert looks == []
        assert sender.given_up_at is None
        nursery.cancel_scope.cancel(reason="the test is over")
