"""A real aioquic client over a socket that is none, and the server's end of that socket."""

import ssl
from collections.abc import Iterable
from pathlib import Path

import trio
import trustme
from aioquic import tls
from aioquic.buffer import UINT_VAR_MAX_SIZE
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionState
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder
from trio.testing import wait_all_tasks_blocked

from jarvis_trio.web.quic_connections import Address

CLIENT = ("192.0.2.1", 4433)
SERVER = ("192.0.2.2", 443)
STREAM_WITH_OFFSET_AND_LENGTH = QuicFrameType.STREAM_BASE | 4 | 2

ON_ITS_WAY_SECONDS = 0.001
"""Without any, QUIC would hold back what it has to say."""

Frame = tuple[int, int, bytes]
"""A stream, an offset, and what is there."""


class Socket:
    """Gives what the test puts in; keeps what is sent."""

    def __init__(self) -> None:
        self.put_in, self._received = trio.open_memory_channel[bytes](1000)
        self.sent: list[bytes] = []

    async def recvfrom(self, _: int) -> tuple[bytes, Address]:
        return await self._received.receive(), CLIENT

    async def sendto(self, data: bytes, _: Address) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(data)


def server_configuration(path: Path, idle_seconds: float) -> QuicConfiguration:
    """Return one with a certificate, which is written to that file."""
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    made = QuicConfiguration(is_client=False, alpn_protocols=["h3"], idle_timeout=idle_seconds)
    made.load_cert_chain(path, path)
    return made


class Client:
    """Says and hears something only when the test says so, in virtual time."""

    def __init__(self, sock: Socket) -> None:
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE
        )
        self.quic = QuicConnection(configuration=configuration)
        self._sock = sock
        self.quic.connect(SERVER, now=trio.current_time())

    async def talk(self) -> None:
        """Go on until neither side has anything to say."""
        while True:
            for data, _ in self.quic.datagrams_to_send(now=trio.current_time()):
                self._sock.put_in.send_nowait(data)
            await trio.sleep(ON_ITS_WAY_SECONDS)
            if not self._sock.sent:
                return
            self.hear()

    def hear(self) -> None:
        """Take in what the server has sent."""
        for data in self._sock.sent:
            self.quic.receive_datagram(data, SERVER, now=trio.current_time())
        self._sock.sent.clear()

    @property
    def was_told_the_end(self) -> bool:
        return self.quic._state is QuicConnectionState.DRAINING

    @property
    def close_code(self) -> int | None:
        """Return what the server has closed the connection with."""
        told = self.quic._close_event
        return None if told is None else told.error_code

    async def say(self, frames: Iterable[Frame]) -> None:
        """Send these in one datagram each, whatever should come before them."""
        for frame in frames:
            self._sock.put_in.send_nowait(self.datagram(*frame))
            await wait_all_tasks_blocked()

    def datagram(self, stream_id: int, offset: int, data: bytes) -> bytes:
        """Return one that brings this piece of a stream."""
        quic = self.quic
        assert quic._version is not None
        builder = QuicPacketBuilder(
            host_cid=quic.host_cid,
            is_client=True,
            max_datagram_size=1400,
            packet_number=quic._packet_number,
            peer_cid=quic._peer_cid.cid,
            peer_token=b"",
            version=quic._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[tls.Epoch.ONE_RTT])
        capacity = 4 * UINT_VAR_MAX_SIZE + len(data)
        frame = builder.start_frame(STREAM_WITH_OFFSET_AND_LENGTH, capacity=capacity)
        frame.push_uint_var(stream_id)
        frame.push_uint_var(offset)
        frame.push_uint_var(len(data))
        frame.push_bytes(data)
        ((made,), _) = builder.flush()
        quic._packet_number = builder.packet_number
        return bytes(made)
