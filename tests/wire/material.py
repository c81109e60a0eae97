"""What the wire tests feed: bytes cut anywhere, and JSON that is almost right."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

quick = settings(max_examples=80, deadline=None, database=None)

any_text = st.text(
    alphabet=st.one_of(
        st.characters(codec="utf-8"), st.sampled_from('\u2028\u2029\x85\r\n\x0b\x0c\0\ufeff😀"\\')
    ),
    max_size=12,
)


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Return ``data`` in pieces, cut at the given places (taken modulo its length)."""
    places = sorted({place % (len(data) + 1) for place in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


cuts = st.lists(st.integers(0, 10_000), max_size=30)


def almost(*words: str) -> st.SearchStrategy[Any]:
    """Return JSON values whose keys and strings are mostly the given words of a format."""
    word = st.one_of(st.sampled_from(words), st.text(max_size=3))
    leaf = st.one_of(
        word,
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([0, 1, -1, 10**30, -(10**400), 1e308, 0.5]),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(word, inner, max_size=5)
        ),
        max_leaves=20,
    )


def as_json(value: Any) -> bytes:
    """Encode with the standard library, so that the tests do not check msgspec with msgspec."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
