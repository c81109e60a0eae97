"""How the transport finds the server that a URL names, over real sockets."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from jarvis_trio.providers.http import HttpClient
from tests.providers.raw_server import cancelled_after, open_files, unaccepting_port

pytestmark = pytest.mark.usefixtures("nothing_left_open")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


class Searches:
    """Notes every name that is looked for, by whichever way; each is at 127.0.0.1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self._open_tcp_stream = trio.open_tcp_stream
        monkeypatch.setattr(trio, "open_tcp_stream", self.open_tcp_stream)

    async def open_tcp_stream(self, host: str, port: int) -> trio.SocketStream:
        self.names.append(host)
        return await self._open_tcp_stream("127.0.0.1", port)


def bound(host: str) -> socket.socket:
    """Return a socket at a port of its own."""
    sock = socket.socket(FAMILIES[host])
    try:
        sock.bind((host, 0))
    except OSError:
        sock.close()
        pytest.skip(f"this machine has no {host}")
    return sock


@asynccontextmanager
async def listening(host: str) -> AsyncIterator[int]:
    """Answer whoever connects to ``host``; give the port."""

    async def answer(stream: trio.SocketStream) -> None:
        with closing(stream.socket):
            await stream.receive_some()
            await stream.send_all(ANSWER)

    sock = trio.socket.from_stdlib_socket(bound(host))
    sock.listen()
    listeners = [trio.SocketListener(sock)]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, answer, listeners)
        yield sock.getsockname()[1]
        nursery.cancel_scope.cancel(reason="the test is over")


async def get(host: str, port: int) -> bytes:
    url = httpx.URL(scheme="http", host=host, port=port)
    with trio.fail_after(10):
        body = await HttpClient(url, {}, 1).get("")
        return await body.read_whole()


@pytest.mark.parametrize("host", list(FAMILIES))
async def test_an_address_is_connected_to_without_a_search(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    searches = Searches(monkeypatch)
    async with listening(host) as port:
        assert await get(host, port) == b"hello"
    assert searches.names == []


async def test_a_name_is_searched_for_and_all_its_addresses_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches = Searches(monkeypatch)
    async with listening("127.0.0.1") as port:
        assert await get("models.invalid", port) == b"hello"
    assert searches.names == ["models.invalid"]


@pytest.mark.parametrize("host", list(FAMILIES))
async def test_an_address_that_refuses_leaves_no_socket(host: str) -> None:
    before = open_files()
    with bound(host) as holder, pytest.raises(httpx.ConnectError, match="refused"):
        await get(host, holder.getsockname()[1])  # where nobody listens
    assert open_files() == before


class Distant(socket.socket):
    """A socket that cannot say at once what has become of its connection."""

    def connect_ex(self, address: object) -> int:
        return errno.EALREADY


class TestWaiting:
    """For a server that is not on this machine."""

    @pytest.fixture(autouse=True)
    def _at_a_distance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "socket", Distant)

    @pytest.mark.parametrize("host", list(FAMILIES))
    async def test_a_connection_that_takes_its_time_is_waited_for(self, host: str) -> None:
        async with listening(host) as port:
            assert await get(host, port) == b"hello"

    async def test_a_refusal_that_takes_its_time_is_that_refusal(self) -> None:
        before = open_files()
        with bound("127.0.0.1") as holder:
            port = holder.getsockname()[1]
            with pytest.raises(httpx.ConnectError) as caught:
                await get("127.0.0.1", port)
        said = f"Error connecting to ('127.0.0.1', {port}): Connection refused"
        assert str(caught.value) == f"[Errno {errno.ECONNREFUSED}] {said}"
        assert open_files() == before


async def test_the_first_that_a_request_over_loopback_waits_for_is_its_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(10):
        with cancelled_after(1):
            await get("127.0.0.1", listener.getsockname()[1])
        listener.setblocking(False)
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(1000).endswith(b"\r\n\r\n")


async def test_a_request_that_is_cancelled_already_is_not_made() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(10):
        listener.setblocking(False)
        with trio.CancelScope() as scope:
            scope.cancel(reason="test")
            await get("127.0.0.1", listener.getsockname()[1])
        assert scope.cancelled_caught
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_a_cancel_while_an_address_is_connected_to_leaves_no_socket() -> None:
    with unaccepting_port() as port:
        before = open_files()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(get, "127.0.0.1", port)
                await wait_all_tasks_blocked()
                assert open_files() == before + 1
                nursery.cancel_scope.cancel(reason="test")
        assert open_files() == before


async def test_a_cancel_in_any_await_of_connecting_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Searches(monkeypatch)
    async with listening("127.0.0.1") as port:
        await wait_all_tasks_blocked()
        before = open_files()
        steps = 0
        data = b""
        while not data:
            steps += 1
            with cancelled_after(steps):
                data = await get("models.invalid", port)
            await wait_all_tasks_blocked()
            assert open_files() == before
        assert steps > 2
