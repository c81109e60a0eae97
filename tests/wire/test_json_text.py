"""JSON text that can always be sent, and error bodies that can always be read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.events import Text
from jarvis_trio.wire.error_text import decode_error
from jarvis_trio.wire.json_text import encode_json
from tests.wire.material import almost, as_json, quick


@quick
@given(st.text(max_size=20))
def test_any_text_survives_on_one_line(text: str) -> None:
    sent = encode_json(text)
    assert json.loads(sent) == text
    assert b"\n" not in sent
    assert b"\r" not in sent


@pytest.mark.parametrize(
    ("held", "read"),
    [
        ("a\ud800", "a\ufffd"),
        ("\ud800a", "\ufffda"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_lone_surrogates_are_mended_wherever_they_are(held: str, read: str) -> None:
    assert json.loads(encode_json({held: [held, (held,), 1, None]})) == {
        read: [read, [read], 1, None]
    }
    assert json.loads(encode_json(Text(held))) == {"text": read}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"no such model","type":"x","code":404}}', "no such model"),
        (b'{"error":"model not found"}', "model not found"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "field required"),
        (b'{"object":"error","message":"too long","code":400}', "too long"),
        (b'{"error":{"message":null},"detail":"d"}', "d"),
        (b'"just text"', "just text"),
        (b"<h1>Bad Gateway</h1>\n", "<h1>Bad Gateway</h1>"),
        (b"  \n", ""),
        (b"", ""),
        (b"caf\xe9", "caf\ufffd"),
        (b'{"status":500}', '{"status":500}'),
        (b'{"error":', '{"error":'),
    ],
)
def test_the_human_message_is_found_in_every_shape(body: bytes, message: str) -> None:
    assert decode_error(body) == message


def test_plain_text_is_cut_to_300_characters() -> None:
    assert decode_error("é".encode() * 5000) == "é" * 300
    assert decode_error("😀".encode() * 5000) == "😀" * 300


def test_a_message_is_cut_to_1000_characters() -> None:
    assert decode_error(as_json({"error": {"message": "é" * 5000}})) == "é" * 1000


@quick
@given(st.one_of(st.binary(max_size=50), almost("error", "message", "detail").map(as_json)))
def test_an_error_body_never_raises_and_stays_short(body: bytes) -> None:
    assert len(decode_error(body)) <= 1000


@pytest.mark.parametrize("opening", [b"[", b'{"error":'])
def test_a_deeply_nested_error_body_is_only_text(opening: bytes) -> None:
    assert decode_error(opening * 100_000) == (opening * 300)[:300].decode()
