"""The requests of an HTTP/3 connection, of which much has come at once."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pylsqpack
import pytest
import trio
from aioquic.h3.connection import ErrorCode, FrameType, Setting, encode_frame
from aioquic.h3.events import H3Event
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent, StreamDataReceived
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from trio.testing import MockClock

from jarvis_trio.web.hypercorn_http3_mends import (
    HEADER_BYTES,
    PIECE_BYTES,
    Requests,
    mend_hypercorn_http3,
)
from jarvis_trio.web.quic_connections import Patience, QuicServer
from jarvis_trio.web.reset_allowance import RESETS_AT_ONCE
from tests.web.quic_client import Client, Frame, Socket, server_configuration

FRAME_BYTES = 1300
AT_ONCE = 50
HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/"),
]


class App:
    """Takes in so many bytes of a request, and does not answer."""

    def __init__(self, size: int) -> None:
        self.body = b""
        self.was_asked = False
        self.is_whole = trio.Event()
        self._size = size

    async def __call__(self, _: Any, receive: Any, send: Any) -> None:
        self.was_asked = True
        while (await self._take(receive))["type"] != "http.disconnect":
            if len(self.body) == self._size:
                self.is_whole.set()

    async def _take(self, receive: Any) -> Any:
        message = await receive()
        self.body += message.get("body", b"")
        return message


class Steps(trio.abc.Instrument):
    """Counts the steps of all tasks, and what is parsed in each."""

    def __init__(self, requests: Requests) -> None:
        self.bytes_parsed: Counter[int] = Counter()
        self._step = 0
        self._parse = requests.connection.handle_event
        requests.connection.handle_event = self._note  # type: ignore[method-assign]

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._step += 1

    def _note(self, event: QuicEvent) -> list[H3Event]:
        if isinstance(event, StreamDataReceived):
            self.bytes_parsed[self._step] += len(event.data)
        return self._parse(event)


@contextmanager
def steps(requests: Requests) -> Iterator[Steps]:
    made = Steps(requests)
    trio.lowlevel.add_instrument(made)
    try:
        yield made
    finally:
        trio.lowlevel.remove_instrument(made)


@asynccontextmanager
async def listening(tmp_path: Path, app: App) -> AsyncIterator[tuple[Requests, Client]]:
    """Serve the app over HTTP/3 to a client that has said nothing yet."""
    configuration = server_configuration(tmp_path / "both.pem", 20)
    patience = Patience(before_the_first=1000, between=1000)
    mend_hypercorn_http3(configuration, patience, trio.sleep_forever)
    wrapper, context, sock = ASGIWrapper(app), WorkerContext(None), Socket()
    udp: Any = SimpleNamespace(app=wrapper, config=Config(), context=context, state={})
    with trio.fail_after(60):
        async with TaskGroup() as tasks, trio.open_nursery() as nursery:
            speak = partial(Requests, udp, tasks)
            fake = cast("trio.socket.SocketType", sock)
            server = QuicServer(fake, nursery, configuration, patience, speak)
            nursery.start_soon(server.receive)
            client = Client(sock)
            await client.talk()
            connection, *_ = server.connections.values()
            yield cast("Requests", connection._speaker), client
            server.close()


def header(*more: tuple[bytes, bytes]) -> bytes:
    (_, block) = pylsqpack.Encoder().encode(0, [*HEADERS, *more])
    return encode_frame(FrameType.HEADERS, block)


def behind_a_gap(data: bytes, start: int = 0) -> list[Frame]:
    """Return what a request's stream brings from there on, with its first byte last."""
    places = range(1, len(data), FRAME_BYTES)
    return [*((0, start + at, data[at : at + FRAME_BYTES]) for at in places), (0, start, data[:1])]


async def test_what_filled_a_gap_is_parsed_in_pieces_and_none_is_lost(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    body = bytes(range(250)) * 400
    app = App(len(body))
    async with listening(tmp_path, app) as (requests, client):
        with steps(requests) as taken:
            await client.say(behind_a_gap(header() + encode_frame(FrameType.DATA, body)))
            await app.is_whole.wait()
        assert app.body == body
        assert max(taken.bytes_parsed.values()) == PIECE_BYTES


async def test_frames_that_nobody_waits_for_are_parsed_in_pieces_too(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The request has been answered: nothing that is done with them waits for anything."""
    async with listening(tmp_path, App(0)) as (requests, client):
        await client.say([(0, 0, header())])
        await requests.end_all()
        with steps(requests) as taken:
            frames = encode_frame(FrameType.DATA, b"") * 20_000
            await client.say(behind_a_gap(frames, start=len(header())))
        assert sum(taken.bytes_parsed.values()) == 40_000
        assert max(taken.bytes_parsed.values()) == PIECE_BYTES


@pytest.mark.parametrize("is_too_large", [False, True])
async def test_a_header_is_bounded_also_when_all_of_it_comes_at_once(
    tmp_path: Path, autojump_clock: MockClock, is_too_large: bool
) -> None:
    size = HEADER_BYTES + (2 if is_too_large else -2) * PIECE_BYTES
    app = App(0)
    async with listening(tmp_path, app) as (_, client):
        await client.say(behind_a_gap(header(*[(b"x-long", b"\\" * 1000)] * (size // 1000))))
        await client.talk()
        assert app.was_asked is not is_too_large
        assert client.close_code == (ErrorCode.H3_EXCESSIVE_LOAD if is_too_large else None)


async def test_no_header_may_wait_for_what_comes_on_another_stream(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """So no single instruction lets the bodies go on of all requests that wait for it."""
    encoder = pylsqpack.Encoder()
    encoder.apply_settings(max_table_capacity=4096, blocked_streams=16)
    async with listening(tmp_path, App(0)) as (requests, client):
        settings = requests.connection.sent_settings
        assert settings is not None
        assert settings[Setting.QPACK_BLOCKED_STREAMS] == 0
        for stream_id in range(0, 16, 4):
            _, block = encoder.encode(stream_id, [*HEADERS, (b"x-again", b"and again")])
            await client.say([(stream_id, 0, encode_frame(FrameType.HEADERS, block))])
        await client.talk()
        assert client.close_code == ErrorCode.QPACK_DECOMPRESSION_FAILED


@pytest.mark.parametrize("take_back", [QuicConnection.reset_stream, QuicConnection.stop_stream])
async def test_requests_taken_back_have_an_allowance(
    tmp_path: Path, autojump_clock: MockClock, take_back: Callable[[QuicConnection, int, int], None]
) -> None:
    async with listening(tmp_path, App(0)) as (_, client):

        async def come_and_go(times: int) -> None:
            for _ in range(times):
                stream_id = client.quic.get_next_available_stream_id()
                client.quic.send_stream_data(stream_id, header(), end_stream=True)
                take_back(client.quic, stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            await client.talk()

        for _ in range(RESETS_AT_ONCE // AT_ONCE):
            await come_and_go(AT_ONCE)
        assert client.close_code is None
        await come_and_go(AT_ONCE)
        assert client.close_code == ErrorCode.H3_EXCESSIVE_LOAD
