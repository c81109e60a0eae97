"""Clients that do not behave, on plain sockets, over TLS and over HTTP/2."""

import contextlib
import json
import socket
import ssl
import struct
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.end_to_end.processes import Server

WINDOW = 2**31 - 1


def connect(
    server: Server, tls: ssl.SSLContext | None = None, *, receive_buffer: int | None = None
) -> socket.socket:
    """Connect; a small receive buffer must be asked for before, to be in force."""
    address = urlsplit(server.url)
    sock = socket.socket(socket.AF_UNIX if address.scheme == "unix" else socket.AF_INET)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(60)
    sock.connect(address.path if address.scheme == "unix" else (address.hostname, address.port))
    return sock if tls is None else tls.wrap_socket(sock, server_hostname=address.hostname)


def body_of(prompt: str, **options: object) -> bytes:
    return json.dumps({"prompt": prompt, "stream": True, **options}).encode()


def post(body: bytes, session: str) -> bytes:
    """Return a whole HTTP/1.1 request."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        "Authorization: Bearer devkey\r\nContent-Type: application/json\r\n"
        f"X-Session-Id: {session}\r\nX-Request-Id: {session}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read_until(sock: socket.socket, end: bytes, received: bytes = b"") -> bytes:
    """Read until ``end`` is among it, or in what has been received before."""
    while end not in received:
        piece = sock.recv(65_536)
        assert piece, f"the server closed after {received!r}"
        received += piece
    return received


def read_until_closed(sock: socket.socket) -> bytes:
    """Read what is there until the server's close or reset."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65_536):
            received += piece
    return received


def reset(sock: socket.socket) -> None:
    """Close with a reset in place of an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def h2_bytes(*headers: tuple[bytes, bytes], priorities: int = 0) -> bytes:
    """Return an HTTP/2 connection's first bytes, with one request that nobody has validated."""
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    for number in range(priorities):
        connection.prioritize(2 * number + 1, weight=5, depends_on=0)
    if headers:
        connection.send_headers(1, list(headers), end_stream=True)
    return connection.data_to_send()


class H2Client:
    """One HTTP/2 connection; what it reads and which windows it opens is the test's affair."""

    def __init__(self, sock: socket.socket, *, stream_window: int) -> None:
        self.sock = sock
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        config = h2.config.H2Configuration(client_side=True)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.connection.update_settings(
            {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: stream_window}
        )
        self.connection.increment_flow_control_window(WINDOW - 65_535)
        self._flush()

    def post(self, body: bytes, session: str) -> int:
        headers = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            (":scheme", "https"),
            (":authority", "localhost"),
            ("authorization", "Bearer devkey"),
            ("content-type", "application/json"),
            ("x-session-id", session),
            ("x-request-id", session),
        ]
        stream = self.open(headers)
        self.send(stream, body, end_stream=True)
        return stream

    def open(self, headers: list[tuple[str, str]]) -> int:
        """Begin a request."""
        stream = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream, headers)
        self.data[stream] = b""
        self._flush()
        return stream

    def send(self, stream: int, body: bytes, *, end_stream: bool = False) -> None:
        self.connection.send_data(stream, body, end_stream=end_stream)
        self._flush()

    def widen(self, stream: int, window: int) -> None:
        self.connection.increment_flow_control_window(window, stream)
        self._flush()

    def take_back(self, stream: int) -> None:
        self.connection.reset_stream(stream)
        self._flush()

    def say_goodbye(self) -> None:
        self.connection.close_connection()
        self._flush()

    def ping(self) -> None:
        self.connection.ping(bytes(8))
        self._flush()

    def read_once(self) -> None:
        """Take in one read, without opening any window again."""
        data = self.sock.recv(65_536)
        assert data, "the server closed the connection"
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                assert event.stream_id is not None
                self.data[event.stream_id] += event.data or b""
            elif isinstance(event, h2.events.StreamEnded):
                assert event.stream_id is not None
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                assert event.stream_id is not None
                self.reset.add(event.stream_id)
        self._flush()

    def _flush(self) -> None:
        self.sock.sendall(self.connection.data_to_send())
