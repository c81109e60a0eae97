"""Clients that do not behave, on plain sockets, over TLS and over HTTP/2."""

import json
import socket
import ssl
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
    assert address.hostname is not None
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(30)
    sock.connect((address.hostname, address.port))
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
        stream = self.connection.get_next_available_stream_id()
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
        self.connection.send_headers(stream, headers)
        self.connection.send_data(stream, body, end_stream=True)
        self.data[stream] = b""
        self._flush()
        return stream

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
