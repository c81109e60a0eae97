"""The error tree: what the docstring draws is what there is."""

import inspect
import re

import pytest

from jarvis_trio import errors
from jarvis_trio.errors import (
    JarvisError,
    NotCurrentError,
    OverloadedError,
    RequestError,
    SessionBusyError,
    StreamEndedError,
    SupersededError,
    UpstreamDownError,
    UpstreamError,
)

CLASSES: list[type[JarvisError]] = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, JarvisError)
]
UPSTREAM = [kind for kind in CLASSES if issubclass(kind, UpstreamError)]


def make(kind: type[JarvisError]) -> JarvisError:
    return kind("what went wrong")


def drawn() -> list[tuple[str, str | None, int | None]]:
    """Return the docstring's tree as (name, parent, status), statuses only where drawn."""
    tree: list[tuple[str, str | None, int | None]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^    ([ │├└─]*)([A-Z]\w+Error)(?: +(\d{3}))?(?:  .*)?$", line):
            depth = len(match[1]) // 3
            path[depth:] = [match[2]]
            parent = path[depth - 1] if depth else None
            tree.append((match[2], parent, int(match[3]) if match[3] else None))
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    real = {kind.__name__: kind.__mro__[1].__name__ for kind in CLASSES if kind is not JarvisError}
    assert not [v for v in vars(errors).values() if isinstance(v, type) and v not in CLASSES]
    assert {name: parent for name, parent, _ in drawn() if parent} == real
    assert [name for name, parent, _ in drawn() if parent is None] == ["JarvisError"]
    assert [name for name, _, _ in drawn()] == [kind.__name__ for kind in CLASSES]


def test_the_statuses_in_the_docstring_are_the_real_ones() -> None:
    real = {kind.__name__: kind.status for kind in CLASSES}
    assert {name: status or 500 for name, _, status in drawn()} == real
    unnumbered = {name for name, _, status in drawn() if status is None}
    assert unnumbered == {"JarvisError", "ConfigError", "WireError"}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_knows_its_status_its_code_and_its_type(kind: type[JarvisError]) -> None:
    error = make(kind)
    assert 400 <= error.status <= 599
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*_error", error.type)
    assert error.message
    assert error.message == str(error)
    assert kind.__doc__


def test_no_two_errors_share_a_code() -> None:
    """A client that branches on the code must be able to tell them apart."""
    # The one is never raised as itself, the other is to a client an UpstreamError like any other.
    own = [kind for kind in CLASSES if kind not in (StreamEndedError, UpstreamDownError)]
    codes = [make(kind).code for kind in own]
    assert len(set(codes)) == len(codes)


def test_the_codes_of_every_ending_are_the_documented_ones() -> None:
    """Design §6: other people's clients rely on these words."""
    codes = {make(kind).code for kind in CLASSES}
    assert {
        "superseded",
        "stopped",
        "upstream_error",
        "upstream_eof",
        "upstream_timeout",
        "server_shutdown",
    } <= codes


@pytest.mark.parametrize("kind", CLASSES)
def test_a_409_and_nothing_else_must_not_be_retried(kind: type[JarvisError]) -> None:
    """Client libraries retry a bare 409 and would supersede the newer prompt in turn."""
    expected = (
        False if issubclass(kind, (StreamEndedError, NotCurrentError, SessionBusyError)) else None
    )
    assert make(kind).should_retry is expected


@pytest.mark.parametrize("kind", UPSTREAM)
def test_what_the_upstream_said_is_shown_but_never_summarised(kind: type[UpstreamError]) -> None:
    error = kind("the model server failed", said="prompt: my diary")
    assert error.message == "the model server failed: prompt: my diary"
    assert str(error) == error.message
    assert error.summary == "the model server failed"
    assert "diary" not in error.summary
    assert kind("it failed").message == kind("it failed").summary == "it failed"


def test_other_errors_summarise_as_their_message() -> None:
    assert OverloadedError("full", retry_after=1).summary == "full"


def test_a_code_given_to_one_request_error_is_its_own_only() -> None:
    assert RequestError("x", code="stream_unusable").code == "stream_unusable"
    assert RequestError("x").code == "invalid_request"


def test_an_error_carries_what_its_response_needs() -> None:
    error = RequestError("x", param="messages", retry_after=2.5)
    assert (error.param, error.retry_after) == ("messages", 2.5)
    assert UpstreamError("x", retry_after=3).retry_after == 3
    assert SupersededError("str_1").superseded_by == "str_1"
