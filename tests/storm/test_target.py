"""Addresses, as people write them."""

import pytest

from jarvis_trio.errors import ConfigError
from jarvis_trio.storm.target import Target, read_target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8000", Target("127.0.0.1", 8000)),
        ("127.0.0.1:8000", Target("127.0.0.1", 8000)),
        ("http://localhost:4000/v1/", Target("localhost", 4000)),
        ("https://api.example.com/openai/v1", Target("api.example.com", 443, True, "/openai/v1")),
        ("http://example.com", Target("example.com", 80)),
        ("http://[::1]:8000", Target("::1", 8000)),
    ],
)
def test_an_address_is_read_with_or_without_its_path(url: str, target: Target) -> None:
    assert read_target(url) == target


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://a", "http://", "http://a:port", "http://a:99999", "http://a:0", "http://[::1"),
        *("http://a/v1?version=2", "http://a/v1#b"),
    ],
)
def test_what_is_no_address_is_answered_with_one_that_is(url: str) -> None:
    with pytest.raises(ConfigError, match="write http://127"):
        read_target(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="goes to --key") as refused:
        read_target("http://user:secret@a")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["a\r\nb", "clé"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="key"):
        read_target("http://a", key)


def test_an_ipv6_address_stands_in_brackets_again() -> None:
    target = read_target("http://[::1]:8000")
    assert target.authority == "[::1]:8000"
    assert target.url == "http://[::1]:8000"
