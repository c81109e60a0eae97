"""The replay buffer: frames made once, readers that each keep their own place."""

import hypothesis
import pytest
import trio
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.engine.replay import PIECE_BYTES, Reader, ReplayBuffer
from jarvis_trio.errors import RequestError, StreamGoneError
from jarvis_trio.events import Cause


class Abandoned:
    """Counts how often the last reader left."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, _: Cause) -> None:
        self.times += 1


def letters(frames: bytes) -> list[bytes]:
    """Each byte is an event."""
    return [bytes([byte]) for byte in frames]


def new_buffer(
    limit_bytes: int = 1000, keep_bytes: int | None = None
) -> tuple[ReplayBuffer, Abandoned]:
    abandoned = Abandoned()
    return ReplayBuffer(limit_bytes, abandoned, letters, keep_bytes), abandoned


async def read_all(reader: Reader, max_bytes: int, pause: float = 0) -> bytes:
    received = b""
    while data := await reader.receive(max_bytes):
        assert len(data) <= max_bytes
        received += data
        await trio.sleep(pause)
    return received


async def write(buffer: ReplayBuffer, *frames: bytes, pause: float = 0) -> None:
    for frame in frames:
        await trio.sleep(pause)
        buffer.append(frame)
        await buffer.wait_for_room()
    buffer.close()


async def test_readers_at_different_speeds_get_identical_bytes(
    autojump_clock: MockClock,
) -> None:
    buffer, abandoned = new_buffer(limit_bytes=50)
    frames = [bytes([number]) * (number % 13 + 1) for number in range(200)]
    received: dict[int, bytes] = {}

    async def read(max_bytes: int, pause: float) -> None:
        received[max_bytes] = await read_all(reader_of[max_bytes], max_bytes, pause)

    reader_of = {max_bytes: buffer.attach() for max_bytes in (1, 7, 16, 1000)}
    async with trio.open_nursery() as nursery:
        for max_bytes, pause in ((1, 0.0), (7, 0.3), (16, 0.01), (1000, 0.0)):
            nursery.start_soon(read, max_bytes, pause)
        nursery.start_soon(lambda: write(buffer, *frames, pause=0.02))
    assert set(received.values()) == {b"".join(frames)}
    assert abandoned.times == 0


async def test_a_slice_crosses_frames_and_is_never_longer_than_asked(
    autojump_clock: MockClock,
) -> None:
    buffer, _ = new_buffer()
    reader = buffer.attach()
    for frame in (b"abc", b"def", b"ghi"):
        buffer.append(frame)
    assert await reader.receive(4) == b"abcd"
    assert await reader.receive(1) == b"e"
    assert await reader.receive(2) == b"fg"
    assert await reader.receive(16) == b"hi"


async def test_a_frame_that_is_all_there_is_to_read_is_passed_on_without_a_copy(
    autojump_clock: MockClock,
) -> None:
    """Made once, sent to every reader."""
    buffer, _ = new_buffer()
    readers = [buffer.attach(), buffer.attach()]
    frame = bytes(100)
    buffer.append(frame)
    for reader in readers:
        assert await reader.receive(100) is frame


async def test_a_reader_waits_for_news_and_for_nothing_else(autojump_clock: MockClock) -> None:
    buffer, _ = new_buffer()
    reader = buffer.attach()
    with trio.move_on_after(1) as waited:
        await reader.receive(10)
    assert waited.cancelled_caught
    buffer.append(b"")
    with trio.move_on_after(1) as waited:
        await reader.receive(10)
    assert waited.cancelled_caught
    buffer.append(b"news")
    assert await reader.receive(10) == b"news"


async def test_a_lag_over_the_limit_holds_the_writer_and_reading_releases_it(
    autojump_clock: MockClock,
) -> None:
    buffer, _ = new_buffer(limit_bytes=10)
    slow, fast = buffer.attach(), buffer.attach()
    went_on = trio.Event()

    async def wait_for_room() -> None:
        await buffer.wait_for_room()
        went_on.set()

    buffer.append(b"x" * 10)
    await buffer.wait_for_room()  # exactly the limit is still room
    buffer.append(b"y")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_room)
        assert await fast.receive(100) == b"x" * 10 + b"y"
        await wait_all_tasks_blocked()
        assert not went_on.is_set()  # the slowest counts
        assert await slow.receive(1) == b"x"
        await wait_all_tasks_blocked()
        assert went_on.is_set()


@pytest.mark.parametrize("release", ["leave", "close"])
async def test_a_writer_that_waits_is_released_when(
    autojump_clock: MockClock, release: str
) -> None:
    buffer, _ = new_buffer(limit_bytes=10)
    reader = buffer.attach()
    buffer.append(b"x" * 11)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(buffer.wait_for_room)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        reader.leave() if release == "leave" else buffer.close()
        await wait_all_tasks_blocked()
        assert not nursery.child_tasks


async def test_without_a_reader_the_oldest_frames_go_and_the_writer_is_free(
    autojump_clock: MockClock,
) -> None:
    buffer, _ = new_buffer(limit_bytes=10)
    for number in range(1000):
        buffer.append(b"%04d" % number)
        await buffer.wait_for_room()
    assert buffer.appended_bytes == 4000
    late = buffer.attach()
    assert await late.receive(100) == b"09980999"


async def test_frames_stay_for_a_reader_to_come_until_the_limit(
    autojump_clock: MockClock,
) -> None:
    buffer, _ = new_buffer(limit_bytes=10)
    first = buffer.attach()
    buffer.append(b"12345")
    assert await first.receive(100) == b"12345"
    assert await buffer.attach().receive(100) == b"12345"
    buffer.append(b"678901")
    assert await first.receive(100) == b"678901"


async def test_frames_that_every_reader_has_had_are_let_go_of_past_the_limit(
    autojump_clock: MockClock,
) -> None:
    """I6: memory is bounded by the limit, however long the answer."""
    buffer, _ = new_buffer(limit_bytes=100)
    readers = [buffer.attach(), buffer.attach()]
    for _ in range(1000):
        buffer.append(b"x" * 10)
        for reader in readers:
            assert await reader.receive(10) == b"x" * 10
    assert sum(map(len, buffer._frames)) <= 100


async def test_a_frame_larger_than_the_limit_reaches_its_reader_whole(
    autojump_clock: MockClock,
) -> None:
    buffer, _ = new_buffer(limit_bytes=10)
    reader = buffer.attach()
    buffer.append(b"x" * 100)
    buffer.close()
    assert await read_all(reader, 16) == b"x" * 100


def test_leaving_is_idempotent_and_only_the_last_to_leave_abandons() -> None:
    buffer, abandoned = new_buffer()
    first, second = buffer.attach(), buffer.attach()
    first.leave()
    first.leave()
    assert abandoned.times == 0
    second.leave()
    assert abandoned.times == 1
    second.leave()
    first.leave()
    assert abandoned.times == 1


def test_leaving_after_the_end_abandons_nothing() -> None:
    buffer, abandoned = new_buffer()
    reader = buffer.attach()
    buffer.append(b"x")
    buffer.close()
    reader.leave()
    assert abandoned.times == 0


async def test_close_wakes_everybody_and_lets_them_finish_reading(
    autojump_clock: MockClock,
) -> None:
    buffer, _ = new_buffer()
    ends: list[bytes] = []

    async def read() -> None:
        ends.append(await read_all(buffer.attach(), 2))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(read)
        buffer.append(b"tail")
        await wait_all_tasks_blocked()
        assert ends == []
        buffer.close()
        buffer.append(b"too late")
    assert ends == [b"tail"] * 3
    assert await read_all(buffer.attach(), 100) == b"tail"


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    buffer, _ = new_buffer()
    reader = buffer.attach()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.receive, 10)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel(reason="the test gives this receive up")
        buffer.append(b"whole")
    assert await reader.receive(10) == b"whole"


PAUSES = st.sampled_from([0.0, 0.01, 0.1])


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
    sizes=st.lists(st.integers(0, 30), max_size=40),
    limit=st.integers(1, 60),
    write_pause=PAUSES,
    readers=st.lists(
        st.tuples(
            st.integers(1, 40),  # bytes of one receive
            PAUSES,
            st.floats(0, 1),  # when it attaches
            st.none() | st.floats(0, 2),  # when it leaves
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_in_any_interleaving_a_reader_gets_an_unbroken_run_of_the_frames(
    sizes: list[int],
    limit: int,
    write_pause: float,
    readers: list[tuple[int, float, float, float | None]],
) -> None:
    """From its place on without a gap; whole when it stays; the lag is bounded all the way."""
    frames = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    whole = b"".join(frames)
    runs: list[tuple[int, bytes, bool]] = []

    async def read(buffer: ReplayBuffer, how: tuple[int, float, float, float | None]) -> None:
        max_bytes, pause, attach_at, leave_at = how
        await trio.sleep(attach_at)
        reader = buffer.attach()
        start, received = reader.position, b""
        stays = trio.CancelScope(deadline=float("inf") if leave_at is None else leave_at)
        with stays:
            while data := await reader.receive(max_bytes):
                assert len(data) <= max_bytes
                received += data
                await trio.sleep(pause)
        reader.leave()
        runs.append((start, received, not stays.cancelled_caught))

    async def feed(buffer: ReplayBuffer, watch: list[Reader]) -> None:
        for frame in frames:
            await trio.sleep(write_pause)
            buffer.append(frame)
            await buffer.wait_for_room()
            assert all(buffer.appended_bytes - r.position <= limit for r in watch)
        buffer.close()

    async def main() -> tuple[ReplayBuffer, Abandoned]:
        buffer, abandoned = new_buffer(limit)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed, buffer, buffer._readers)
            for how in readers:
                nursery.start_soon(read, buffer, how)
        return buffer, abandoned

    buffer, abandoned = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert buffer.appended_bytes == len(whole)
    for start, received, stayed in runs:
        assert whole[start:].startswith(received)
        if stayed:
            assert received == whole[start:]
    assert sum(map(len, buffer._frames)) <= limit
    if all(stayed for _, _, stayed in runs):
        assert abandoned.times == 0


async def test_a_reader_may_begin_behind_any_event_that_is_held(autojump_clock: MockClock) -> None:
    buffer, _ = new_buffer()
    for frame in (b"abc", b"d", b"efgh"):
        buffer.append(frame)
    readers = [buffer.attach(after) for after in range(9)]
    buffer.append(b"i")
    buffer.close()
    assert [await read_all(reader, 2) for reader in readers] == [
        b"abcdefghi"[after:] for after in range(9)
    ]


async def test_a_reader_may_begin_at_the_very_end_and_waits_for_news(
    autojump_clock: MockClock,
) -> None:
    buffer, _ = new_buffer()
    empty = buffer.attach(0)
    buffer.append(b"abc")
    reader = buffer.attach(3)
    buffer.append(b"d")
    assert await reader.receive(10) == b"d"
    assert await empty.receive(10) == b"abcd"
    buffer.close()
    assert await buffer.attach(4).receive(10) == b""


def test_events_that_do_not_exist_yet_cannot_have_been_read() -> None:
    buffer, _ = new_buffer()
    buffer.append(b"abc")
    with pytest.raises(RequestError, match="only 3 events") as raised:
        buffer.attach(4)
    assert raised.value.param == "after"
    assert not buffer._readers


@pytest.mark.parametrize("comes_back", [False, True])
async def test_what_is_no_longer_held_is_told_and_what_is_can_be_read(
    autojump_clock: MockClock, comes_back: bool
) -> None:
    """Also when frames were joined, for one who was here, before they went."""
    buffer, _ = new_buffer(limit_bytes=10, keep_bytes=20)
    for number in range(30):
        buffer.append(b"%03d" % number)
        if comes_back:
            buffer.attach(3 * (number + 1)).leave()
    lost = 3 * 30 - buffer.held_bytes
    assert 0 < buffer.held_bytes <= 20
    for after in range(lost):
        with pytest.raises(StreamGoneError, match=f"first {lost} events.*after={lost}"):
            buffer.place_after(after)
    whole = b"".join(b"%03d" % number for number in range(30))
    for after in range(lost, 90):
        reader = buffer.attach(after)
        assert await reader.receive(100) == whole[after:]


async def test_more_may_be_kept_than_a_reader_may_lag(autojump_clock: MockClock) -> None:
    buffer, _ = new_buffer(limit_bytes=10, keep_bytes=100)
    first = buffer.attach()
    for _ in range(10):
        buffer.append(b"x" * 10)
        assert buffer.has_room
        assert await first.receive(100) == b"x" * 10
    late = buffer.attach(0)
    assert not buffer.has_room
    assert await late.receive(89) == b"x" * 89
    assert not buffer.has_room
    assert await late.receive(1) == b"x"
    assert buffer.has_room


async def test_who_begins_far_behind_finds_its_place_among_few(autojump_clock: MockClock) -> None:
    """Else each slice of a long answer would cost a walk over all of its frames."""
    buffer, _ = new_buffer(limit_bytes=1 << 20)
    for _ in range(10_000):
        buffer.append(b"x" * 60)
    buffer.attach(0)
    assert len(buffer._frames) <= 2 * 600_000 / PIECE_BYTES
    assert max(map(len, buffer._frames)) <= PIECE_BYTES
    assert buffer.held_bytes == sum(map(len, buffer._frames)) == 600_000
