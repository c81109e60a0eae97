"""An HTTP/3 client: aioquic over a real UDP socket, driven by trio."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import trio
import trustme
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamReset
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

from tests.end_to_end.client import Exchange

CANCELLED = 0x10C
"""H3_REQUEST_CANCELLED."""


class Http3Exchange(Exchange):
    """One request and what came back for it."""

    def __init__(self, stream_id: int) -> None:
        super().__init__()
        self.stream_id = stream_id
        self.ended = trio.Event()
        self.was_reset = False


class Http3Client:
    """One QUIC connection. ``closed`` is set when the server has closed it or has gone."""

    def __init__(self, quic: QuicConnection, sock: trio.socket.SocketType) -> None:
        self.quic = quic
        self.http: H3Connection
        self.exchanges: dict[int, Http3Exchange] = {}
        self.is_ready = trio.Event()
        self.closed = trio.Event()
        self.close_code: int | None = None
        self._sock = sock
        self._wait = trio.CancelScope()
        self._is_due = False
        self._life = trio.CancelScope()
        self._slow_bytes = 0
        self._seconds_between_reads = 0.0

    def request(
        self, method: str, path: str, *headers: tuple[str, str], body: bytes = b"", end: bool = True
    ) -> Http3Exchange:
        """Begin a request, with pseudo-headers of its own; ``end=False`` leaves it unfinished."""
        stream_id = self.quic.get_next_available_stream_id()
        exchange = self.exchanges[stream_id] = Http3Exchange(stream_id)
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost")]
        pseudo.append((":path", path))
        both = [(name.encode(), value.encode()) for name, value in (*pseudo, *headers)]
        self.http.send_headers(stream_id, both, end_stream=end and not body)
        if body:
            self.http.send_data(stream_id, body, end_stream=end)
        self.flush()
        return exchange

    def prompt(self, text: str, session: str, **options: Any) -> Http3Exchange:
        """Send a streaming prompt; ``session`` is its trace too."""
        trace = options.pop("trace", session)
        body = json.dumps({"prompt": text, "stream": True, **options}).encode()
        return self.request(
            "POST",
            "/v1/chat/completions",
            ("authorization", "Bearer devkey"),
            ("content-type", "application/json"),
            ("x-session-id", session),
            ("x-request-id", trace),
            body=body,
        )

    def leave(self, exchange: Http3Exchange) -> None:
        """Want no more of this answer, as a browser that aborts a request."""
        self.quic.stop_stream(exchange.stream_id, CANCELLED)
        self.quic.reset_stream(exchange.stream_id, CANCELLED)
        self.flush()

    def give_no_more_room(self) -> None:
        """Never open a flow-control window again, however much is read."""
        self.quic._write_connection_limits = _write_nothing  # type: ignore[method-assign, assignment]
        self.quic._write_stream_limits = _write_what_was_given  # type: ignore[method-assign]

    def give_room(self, exchange: Http3Exchange, count: int) -> None:
        """Let the server send so many bytes more of this answer."""
        self.quic._streams[exchange.stream_id].max_stream_data_local += count
        self.flush()

    def read_slowly(self, slow_bytes: int, seconds_between_reads: float) -> None:
        """Take in the next so many bytes at one datagram in so many seconds."""
        self._slow_bytes = slow_bytes
        self._seconds_between_reads = seconds_between_reads

    @property
    def has_vanished(self) -> bool:
        return self._life.cancel_called

    def vanish(self) -> None:
        """Go without a word, as a process that is killed."""
        self._life.cancel(reason="the client vanishes")

    def flush(self) -> None:
        """Send what there is to send; called after every use of ``quic``."""
        self._is_due = True
        self._wait.cancel(reason="there is something to send")

    async def speak(self) -> None:
        """Speak QUIC until the connection is closed, or this client vanishes."""
        with self._life:
            while not self.closed.is_set():
                await self._step()

    async def _step(self) -> None:
        self._is_due = False
        for data, address in self.quic.datagrams_to_send(trio.current_time()):
            await self._sock.sendto(data, address)
        datagram = None
        deadline = 0 if self._is_due else self.quic.get_timer() or 0
        with trio.CancelScope(deadline=deadline) as self._wait:
            datagram = await self._sock.recvfrom(65_536)
        if datagram is not None:
            self.quic.receive_datagram(*datagram, now=trio.current_time())
            if self._slow_bytes > 0:
                self._slow_bytes -= len(datagram[0])
                await trio.sleep(self._seconds_between_reads)
        if (timer := self.quic.get_timer()) and timer <= trio.current_time():
            self.quic.handle_timer(trio.current_time())
        while (event := self.quic.next_event()) is not None:
            self._handle(event)

    def _handle(self, event: object) -> None:
        if isinstance(event, HandshakeCompleted):
            self.http = H3Connection(self.quic)
            self.is_ready.set()
        elif isinstance(event, ConnectionTerminated):
            self.close_code = event.error_code
            self.closed.set()
        elif isinstance(event, StreamReset) and event.stream_id in self.exchanges:
            exchange = self.exchanges[event.stream_id]
            exchange.was_reset = True
            exchange.ended.set()
        if hasattr(self, "http"):
            for told in self.http.handle_event(event):  # type: ignore[arg-type]
                self._note(told)

    def _note(self, event: H3Event) -> None:
        if not isinstance(event, (HeadersReceived, DataReceived)):
            return
        exchange = self.exchanges[event.stream_id]
        if isinstance(event, HeadersReceived):
            exchange.status = int(dict(event.headers)[b":status"])
            exchange.started.set()
        else:
            exchange.raw += event.data
            if b'"content":"' in exchange.raw.replace(b'"content":""', b""):
                exchange.first_text.set()
        if event.stream_ended:
            exchange.ended.set()


@asynccontextmanager
async def http3_client(
    url: str, authority: trustme.CA, *, stream_window: int = 1_048_576
) -> AsyncIterator[Http3Client]:
    """Connect; at the end close the connection in order, if it is still there."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        is_client=True,
        server_name="localhost",
        verify_mode=ssl.CERT_REQUIRED,
        max_stream_data=stream_window,
    )
    configuration.load_verify_locations(cadata=authority.cert_pem.bytes())
    quic = QuicConnection(configuration=configuration)
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        client = Http3Client(quic, sock)
        quic.connect((address.hostname, address.port), now=trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.speak)
            with trio.fail_after(10):
                await client.is_ready.wait()
            yield client
            nursery.cancel_scope.cancel(reason="the client leaves")
        if not client.has_vanished:
            quic.close()
            for data, to in quic.datagrams_to_send(trio.current_time()):
                await sock.sendto(data, to)


def _write_nothing(**_: object) -> None:
    return None


def _write_what_was_given(
    builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
) -> None:
    assert stream.stream_id is not None
    if stream.max_stream_data_local_sent != stream.max_stream_data_local:
        frame = builder.start_frame(QuicFrameType.MAX_STREAM_DATA, capacity=17)
        frame.push_uint_var(stream.stream_id)
        frame.push_uint_var(stream.max_stream_data_local)
        stream.max_stream_data_local_sent = stream.max_stream_data_local
