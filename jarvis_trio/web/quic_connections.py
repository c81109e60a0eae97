"""QUIC on one UDP socket: each connection is one task, and nobody waits for another's.

Above: whoever speaks over a connection (:class:`Speaker`). Below: aioquic, which does no I/O, and
the socket. It knows nothing of requests. What is wrong with a connection ends that connection.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol

import structlog
import trio
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import END_STATES, QuicConnection, QuicConnectionState
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    HandshakeCompleted,
    ProtocolNegotiated,
    QuicEvent,
)
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    encode_quic_version_negotiation,
    pull_quic_header,
)

MAX_DATAGRAM_BYTES = 65_536
SMALLEST_FIRST_DATAGRAM = 1200
DATAGRAMS_AHEAD = 64
"""Datagrams of one connection that may wait for its task; what is over is lost, as on any wire."""

HANDSHAKES = 256
"""Handshakes under way at once. A client beyond these has HTTP/2, or asks again."""

UNDELIVERED_BYTES = 1024 * 1024
"""What may wait behind something that is missing: aioquic goes on to widen its windows."""

GAPS = 256
"""In how many pieces: each piece that comes is compared with all of them."""

PINGS_PER_TIMEOUT = 3
"""Pings to a silent client that waits for an answer, so that it is not found idle."""

Address = tuple[str, int]
log = structlog.get_logger("jarvis_trio")


class Speaker(Protocol):
    """Makes something of a connection's events, in the connection's task."""

    @property
    def is_busy(self) -> bool:
        """Say whether the client waits for something."""
        ...

    async def handle(self, quic_event: QuicEvent) -> None:
        """Take in an event."""
        ...

    async def end_all(self) -> None:
        """Take note that the connection has ended."""
        ...


class Patience(NamedTuple):
    """How many seconds a connection may live with nothing asked for."""

    before_the_first: float
    """The handshake included."""

    between: float


class QuicServer:
    """Deals out the datagrams of a socket. Run ``receive``; the nursery gets the connections."""

    def __init__(
        self,
        sock: trio.socket.SocketType,
        nursery: trio.Nursery,
        configuration: QuicConfiguration,
        patience: Patience,
        speak: "Callable[[Connection, Address], Speaker]",
    ) -> None:
        self.socket = sock
        self.configuration = configuration
        self.patience = patience
        self.speak = speak
        self.connections: dict[bytes, Connection] = {}
        self.handshakes: set[Connection] = set()
        self._nursery = nursery
        self._receiving = trio.CancelScope()

    async def receive(self) -> None:
        """Take in datagrams until closed."""
        with self._receiving:
            while True:
                data, address = await self.socket.recvfrom(MAX_DATAGRAM_BYTES)
                with suppress(ValueError):  # it is not QUIC
                    cid_bytes = self.configuration.connection_id_length
                    header = pull_quic_header(Buffer(data=data), cid_bytes)
                    if reply := self._take(header, data, address):
                        with suppress(OSError):
                            await self.socket.sendto(reply, address)

    def close(self) -> None:
        """Close every connection and take no more."""
        self._receiving.cancel(reason="the server has ended")
        for connection in self.connections.values():
            connection.leave()

    def _take(self, header: QuicHeader, data: bytes, address: Address) -> bytes | None:
        """Hand over a datagram; return what is to be answered where there is no connection."""
        connection = self.connections.get(header.destination_cid)
        if connection is None:
            if len(data) < SMALLEST_FIRST_DATAGRAM:
                return None
            versions = self.configuration.supported_versions
            if header.version and header.version not in versions:
                return encode_quic_version_negotiation(
                    source_cid=header.destination_cid,
                    destination_cid=header.source_cid,
                    supported_versions=versions,
                )
            if header.packet_type != QuicPacketType.INITIAL or len(self.handshakes) >= HANDSHAKES:
                return None
            connection = Connection(self, header.destination_cid, address)
            self._nursery.start_soon(connection.run)
        connection.take(data, address)
        return None


class Connection:
    """One QUIC connection. ``run`` alone touches the network; others leave it something to do."""

    def __init__(self, server: QuicServer, first_cid: bytes, address: Address) -> None:
        self.quic = QuicConnection(
            configuration=server.configuration, original_destination_connection_id=first_cid
        )
        self.progress = trio.lowlevel.ParkingLot()
        """Whoever waits for something to be acknowledged."""
        self._server = server
        self._address = address
        self._cids = {first_cid, self.quic.host_cid}
        server.connections.update(dict.fromkeys(self._cids, self))
        server.handshakes.add(self)
        self._ping_seconds = server.configuration.idle_timeout / PINGS_PER_TIMEOUT
        self._ping_at = 0.0
        self._idle_until = trio.current_time() + server.patience.before_the_first
        self._speaker: Speaker | None = None
        self._received: deque[tuple[bytes, Address]] = deque()
        self._news = trio.Event()
        self._is_leaving = False

    def take(self, data: bytes, address: Address) -> None:
        """Leave a datagram to the connection's task."""
        if len(self._received) < DATAGRAMS_AHEAD:
            self._received.append((data, address))
            self.wake()

    def wake(self) -> None:
        """Let the connection's task find out what there is to do."""
        self._news.set()

    def leave(self) -> None:
        """Close the connection."""
        self._is_leaving = True
        self.wake()

    async def run(self) -> None:
        """Live until either side closes the connection, or nothing is heard for too long."""
        with _trouble_told():
            while not self._is_leaving:
                await self._step()
        for cid in self._cids:
            self._server.connections.pop(cid, None)
        self._server.handshakes.discard(self)
        for last_step in (self._close, self._tell_the_end):
            with _trouble_told():
                await last_step()
        self.progress.unpark_all()

    async def _step(self) -> None:
        """Wait for something to do, and do all that there is."""
        with trio.move_on_at(self._wakes_at()):
            await self._news.wait()
        self._news = trio.Event()
        now = trio.current_time()
        if self._received:
            self._ping_at = now + self._ping_seconds
        while self._received:
            self.quic.receive_datagram(*self._received.popleft(), now=now)
            if self._hoards():
                log.warning("connection_hoards")
                self._is_leaving = True
                return
        self._pass_time(now)
        while (event := self.quic.next_event()) is not None:
            await self._handle(event)
        self._be_patient(now)
        await self._transmit()
        self.progress.unpark_all()
        # Either side's close, or a first datagram that began nothing.
        if self._state in END_STATES or self._state is QuicConnectionState.FIRSTFLIGHT:
            self._is_leaving = True

    def _hoards(self) -> bool:
        """Say whether too much waits for what is missing."""
        quic = self.quic
        streams = (*quic._crypto_streams.values(), *quic._streams.values())  # noqa: SLF001
        receivers = [stream.receiver for stream in streams]
        return (
            sum(len(one._buffer) for one in receivers) > UNDELIVERED_BYTES  # noqa: SLF001
            or sum(len(one._ranges) for one in receivers) > GAPS  # noqa: SLF001
        )

    async def _close(self) -> None:
        if self._state is not QuicConnectionState.FIRSTFLIGHT:
            self.quic.close()
            await self._transmit()

    async def _tell_the_end(self) -> None:
        if self._speaker is not None:
            await self._speaker.end_all()

    @property
    def _state(self) -> QuicConnectionState:
        return self.quic._state  # noqa: SLF001 - the event of a close comes round trips later

    @property
    def _is_waited_on(self) -> bool:
        return self._speaker is not None and self._speaker.is_busy

    def _wakes_at(self) -> float:
        timer = self.quic.get_timer()
        wakes_at = trio.current_time() if timer is None else timer
        return min(wakes_at, self._ping_at if self._is_waited_on else self._idle_until)

    def _pass_time(self, now: float) -> None:
        timer = self.quic.get_timer()
        if timer is not None and timer <= now:
            self.quic.handle_timer(now)
        if self._is_waited_on and self._ping_at <= now:
            self.quic.send_ping(0)
            self._ping_at = now + self._ping_seconds

    def _be_patient(self, now: float) -> None:
        if self._is_waited_on:
            self._idle_until = math.inf
        elif self._idle_until == math.inf:
            self._idle_until = now + self._server.patience.between
        elif now >= self._idle_until:
            self._is_leaving = True

    async def _handle(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self._server.handshakes.discard(self)
        elif isinstance(event, ProtocolNegotiated):
            self._speaker = self._server.speak(self, self._address)
        elif isinstance(event, ConnectionIdIssued):
            self._cids.add(event.connection_id)
            self._server.connections[event.connection_id] = self
        elif isinstance(event, ConnectionIdRetired):
            self._cids.discard(event.connection_id)
            self._server.connections.pop(event.connection_id, None)
        if self._speaker is not None:
            await self._speaker.handle(event)

    async def _transmit(self) -> None:
        for data, address in self.quic.datagrams_to_send(trio.current_time()):
            with suppress(OSError):  # it is lost, as datagrams may be
                await self._server.socket.sendto(data, address)


@contextmanager
def _trouble_told() -> Iterator[None]:
    """Let nothing that goes wrong with one connection reach the others."""
    try:
        yield
    except Exception as error:
        # No traceback: whoever provokes this could fill the log with it.
        log.warning("connection_crashed", error=repr(error))
