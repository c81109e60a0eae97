"""Bodies in chunks, which go past h11, beside those of a length, read by another's parser."""

import socket

import h11

from tests.end_to_end.processes import Server

STREAM = b'{"prompt":"What is 2+2?","stream":true,"max_tokens":5}'
WHOLE = b'{"prompt":"What is 2+2?","max_tokens":5}'


def answer(sock: socket.socket, client: h11.Connection, body: bytes) -> tuple[h11.Response, bytes]:
    """Ask, and read the answer with a parser that takes nothing but what is right."""
    headers = [
        ("Host", "localhost"),
        ("Authorization", "Bearer devkey"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
    ]
    request = h11.Request(method="POST", target="/v1/chat/completions", headers=headers)
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        sock.sendall(client.send(part) or b"")
    response: h11.Response | None = None
    received = b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(sock.recv(65_536))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            received += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert response is not None
            client.start_next_cycle()
            return response, received


def test_streams_and_whole_answers_take_turns_on_one_connection(simulated_server: Server) -> None:
    port = int(simulated_server.url.rpartition(":")[2])
    client = h11.Connection(h11.CLIENT)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        for body in (STREAM, WHOLE, STREAM, WHOLE):
            response, received = answer(sock, client, body)
            assert response.status_code == 200
            names = [name for name, _ in response.headers]
            assert (b"transfer-encoding" in names) == (body == STREAM)
            assert received.endswith(b"data: [DONE]\n\n" if body == STREAM else b"}")


def test_a_websocket_that_is_refused_behind_a_stream_is_answered_by_its_length(
    simulated_server: Server,
) -> None:
    port = int(simulated_server.url.rpartition(":")[2])
    client = h11.Connection(h11.CLIENT)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        answer(sock, client, STREAM)
        sock.sendall(
            b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        received = b""
        while piece := sock.recv(65_536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    assert b" 404 " in head or b" 400 " in head or b" 405 " in head, head
    assert lengths == [b"content-length: %d" % len(body)]
