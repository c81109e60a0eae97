"""Requests that are wrong on the wire: each is refused with its reason, or answered rightly.

Where the bytes are no HTTP, Hypercorn refuses them itself, with a bare status.
"""

import gzip
import http.client
import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.end_to_end.faults.raw_clients import connect, read_until, read_until_closed
from tests.end_to_end.processes import COMPLAINTS, Server

CHAT = "/v1/chat/completions"
BODY = b'{"prompt":"What is 2+2?"}'
CHUNKED = "Transfer-Encoding: chunked"
GZIPPED = gzip.compress(BODY, mtime=0)


@pytest.fixture
def server(simulated_server: Server) -> Iterator[Server]:
    """The server; what a test makes it complain about is that test's failure."""
    port = simulated_server.url.rpartition(":")[2]
    console = simulated_server.log_path.parents[1] / f"console-{port}.txt"
    printed, logged = len(console.read_bytes()), len(simulated_server.log())
    yield simulated_server
    since = console.read_bytes()[printed:].decode()
    assert not COMPLAINTS.search(since), since
    simulated_server.wait_until_idle()
    events = {line["event"] for line in simulated_server.log()[logged:]}
    assert not {"request_failed", "connection_crashed"} & events


def head(method: str, target: str, *lines: str) -> bytes:
    """Return a request's head; the characters of ``lines`` are the bytes on the wire."""
    first = (f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close")
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def post(body: bytes, *lines: str, key: str = "devkey") -> bytes:
    """Return a prompt; whoever says ``chunked`` has done it."""
    if CHUNKED not in lines and not any(line.startswith("Content-Length") for line in lines):
        lines = (*lines, f"Content-Length: {len(body)}")
    return head("POST", CHAT, f"Authorization: Bearer {key}", *lines) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(server: Server, data: bytes, *, method: str = "POST") -> tuple[int, bytes]:
    """Send ``data`` and read one answer."""
    with connect(server) as sock:
        sock.sendall(data)
        return answer_on(sock, method)


def answer_on(sock: socket.socket, method: str) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    with response:
        return response.status, response.read()


def code(body: bytes) -> str:
    """Return the code of an error in our shape."""
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    said: str = error["code"]
    return said


@pytest.mark.parametrize(
    ("data", "status", "expected"),
    [
        pytest.param(post(BODY, "X-Session-Id: \xff\xfe"), 400, "invalid_request", id="session"),
        pytest.param(post(BODY, "X-Session-Policy: \xff"), 400, "invalid_request", id="policy"),
        pytest.param(post(BODY, "X-On-Disconnect: \xff"), 400, "invalid_request", id="departure"),
        pytest.param(post(BODY, key="\xff\xfe"), 401, "invalid_api_key", id="key"),
        pytest.param(
            post(BODY, "Content-Type: \xff/\xfe"), 415, "unsupported_media_type", id="media-type"
        ),
        pytest.param(
            head("GET", "/healthz").replace(b"localhost", b"\xff"),
            403,
            "host_not_allowed",
            id="host",
        ),
    ],
)
def test_a_header_that_is_not_ascii_is_refused_as_what_it_is(
    server: Server, data: bytes, status: int, expected: str
) -> None:
    told, body = answer(server, data)
    assert (told, code(body)) == (status, expected)


def test_a_request_id_that_is_not_ascii_is_replaced(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(post(BODY, "X-Request-Id: \xff"))
        told = read_until_closed(sock)
    assert told.startswith(b"HTTP/1.1 200")
    assert re.search(rb"\r\nx-request-id: [0-9a-f]{16}\r\n", told)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", GZIPPED), ("GZIP", BODY), ("br", BODY), ("identity, gzip", GZIPPED)],
    ids=["gzip", "not-even-that", "brotli", "both"],
)
def test_a_body_that_is_compressed_is_refused_by_that_name(
    server: Server, encoding: str, body: bytes
) -> None:
    status, said = answer(server, post(body, f"Content-Encoding: {encoding}"))
    assert (status, code(said)) == (415, "unsupported_media_type")
    assert encoding.lower() in said.decode()


def test_a_body_as_it_is_may_be_called_so(server: Server) -> None:
    assert answer(server, post(BODY, "Content-Encoding: identity"))[0] == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "empty"),
        (b"[]", "JSON object"),
        (b"\xef\xbb\xbf" + BODY, "byte order mark"),
        (b'{"prompt":"\xff"}', "UTF-8"),
        (b'{"prompt":"\\ud800"}', "valid JSON"),
        (b'{"prompt":"a\0"}', "valid JSON"),
        (json.dumps({"messages": [{"role": "user", "content": "x"}] * 10_000}).encode(), "4096"),
    ],
    ids=["empty", "list", "bom", "not-utf8", "half-a-pair", "nul", "ten-thousand-messages"],
)
def test_a_body_that_is_no_request_is_refused_with_its_reason(
    server: Server, body: bytes, expected: str
) -> None:
    status, said = answer(server, post(body))
    assert (status, code(said)) == (400, "invalid_request")
    assert expected in json.loads(said)["error"]["message"]


@pytest.mark.parametrize("prompt", ["😀" * 1_000_000, "a\0b"], ids=["emoji", "nul"])
def test_whatever_text_it_is_it_is_answered(server: Server, prompt: str) -> None:
    body = json.dumps({"prompt": prompt, "max_tokens": 3}, ensure_ascii=False).encode()
    status, said = answer(server, post(body))
    assert status == 200
    assert json.loads(said)["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 30, "5, 6", "5\r\nContent-Length: 6", "1e2"])
def test_a_length_that_is_none_is_a_bad_request(server: Server, length: str) -> None:
    assert answer(server, post(BODY, f"Content-Length: {length}"))[0] == 400


def test_a_length_that_is_too_short_is_a_bad_request(server: Server) -> None:
    """What is left over is no request either."""
    assert answer(server, post(BODY, "Content-Length: 5"))[0] == 400


def test_a_client_that_ends_before_its_length_has_gone(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(post(BODY, f"Content-Length: {len(BODY) + 1}"))
        sock.shutdown(socket.SHUT_WR)
        assert read_until_closed(sock) == b""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"zz\r\n", id="no-length"),
        pytest.param(b"-1\r\n", id="less-than-nothing"),
        pytest.param(b"5\r\n" + BODY + b"\r\n0\r\n\r\n", id="too-short"),
        pytest.param(b"%x\r\n" % len(BODY) + BODY + b"0\r\n\r\n", id="no-end"),
    ],
)
def test_chunks_that_are_none_are_a_bad_request(server: Server, body: bytes) -> None:
    assert answer(server, post(body, CHUNKED))[0] == 400


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\nX-Trailer: y\r\n\r\n"])
def test_chunks_are_a_body_like_any_other(server: Server, end: bytes) -> None:
    pieces = b"".join(chunk(BODY[place : place + 7]) for place in range(0, len(BODY), 7))
    assert answer(server, post(pieces + end, CHUNKED))[0] == 200


def test_who_expects_to_be_told_to_go_on_is_told(server: Server) -> None:
    with connect(server) as sock:
        whole = post(BODY, "Expect: 100-continue")
        sock.sendall(whole.removesuffix(BODY))
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        sock.sendall(BODY)
        assert answer_on(sock, "POST")[0] == 200


def test_a_query_is_passed_over(server: Server) -> None:
    query = f"{CHAT}?model=%00&x=%ff&%zz"
    assert answer(server, post(BODY).replace(CHAT.encode(), query.encode()))[0] == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("jarvis%2dsimulated", 200),
        ("no%2Fsuch", 404),
        ("no/such", 404),
        ("%2e%2e%2F%2e%2e%2Fhealthz", 404),
        ("../../healthz", 404),
        ("%00", 404),
        ("%ff", 404),
        ("%zz", 404),
        ("%F0%9F%98%80", 404),
        ("?", 200),
    ],
)
def test_a_models_name_may_be_anything_in_percent_signs(
    server: Server, target: str, status: int
) -> None:
    data = head("GET", f"/v1/models/{target}", "Authorization: Bearer devkey")
    told, said = answer(server, data, method="GET")
    assert told == status
    assert status == 200 or code(said) == "model_not_found"


@pytest.mark.parametrize(
    "target",
    [
        CHAT, "/v1/models", "/v1/models/jarvis-simulated", "/healthz", "/readyz", "/metrics",
        "/openapi.json", "/",
    ],
)  # fmt: skip
def test_every_address_answers_every_method(server: Server, target: str) -> None:
    """HEAD as GET but without a body, OPTIONS with what there is, what is not taken with 405."""
    own = "POST" if target == CHAT else "GET"
    key = "Authorization: Bearer devkey"
    expected = {"HEAD": 405 if own == "POST" else 200, "OPTIONS": 200}
    for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "BREW"):
        status, said = answer(server, head(method, target, key), method=method)
        assert status == expected.get(method, 405), method
        if method in expected:
            assert said == b""
        else:
            assert code(said) == "method_not_allowed"
