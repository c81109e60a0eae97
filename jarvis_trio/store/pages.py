"""How much of a conversation one reading brings: alike in every store."""

from collections.abc import Iterable, Sequence
from typing import Final

from jarvis_trio.store.base import StoredMessage

MOST_CHARS: Final = 8 * 1024 * 1024
"""Of text: what a route can encode in some milliseconds."""


def as_far_as_a_page(messages: Iterable[StoredMessage]) -> list[StoredMessage]:
    """Return them as far as the first that comes behind ``MOST_CHARS``."""
    page: list[StoredMessage] = []
    size = 0
    for message in messages:
        page.append(message)
        if size >= MOST_CHARS:
            break
        size += _size(message)
    return page


def a_page_of(found: Sequence[StoredMessage], limit: int) -> tuple[Sequence[StoredMessage], bool]:
    """Return at most ``limit`` of those found, and whether there are more.

    The last one found is that more, where it is behind the limit, or behind ``MOST_CHARS``.
    """
    has_more = len(found) > limit or sum(map(_size, found[:-1])) >= MOST_CHARS
    return (found[:-1] if has_more else found), has_more


def _size(message: StoredMessage) -> int:
    calls = sum(len(call.arguments) for call in message.tool_calls)
    return len(message.text) + len(message.reasoning) + sum(map(len, message.images)) + calls
