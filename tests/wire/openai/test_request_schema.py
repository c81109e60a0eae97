"""The description of a chat request takes what the decoder takes, and refuses what it refuses."""

import itertools
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_trio.errors import RequestError
from jarvis_trio.wire.openai.messages import MAX_MESSAGES, STANDS_FOR_CONTENT
from jarvis_trio.wire.openai.request import KNOWN, decode_chat_request
from jarvis_trio.wire.openai.request_schema import MENTIONED, REF_TEMPLATE, REQUEST
from tests.wire.material import as_json

HI = {"role": "user", "content": "hi"}

ways, schemas = msgspec.json.schema_components([*REQUEST, *MENTIONED], ref_template=REF_TEMPLATE)
described = jsonschema_rs.validator_for(
    {"anyOf": ways[: len(REQUEST)], "components": {"schemas": schemas}}
)


def is_accepted(body: Any) -> bool:
    try:
        decode_chat_request(as_json(body))
    except RequestError:
        return False
    return True


odd: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, False, 0, 1, 1.0, -1, 0.5, 2**31, 2**63, -(2**63) - 1, 10**30,
        "", " ", "x", "m" * 513, [], ["x"], ["x"] * 65, [None], [[]],
        {}, {"x": 1}, {"url": "x"}, {"name": "f"},
    ]
)  # fmt: skip


def either(*right: Any) -> st.SearchStrategy[Any]:
    """Return mostly what is right, sometimes what is odd."""
    values = [value if isinstance(value, st.SearchStrategy) else st.just(value) for value in right]
    return st.integers(0, 15).flatmap(lambda chance: st.one_of(values) if chance else odd)


def described_as(**keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


parts = described_as(
    type=either("text", "image_url", "input_audio"),
    text=either("x"),
    image_url=either("x", {"url": "x"}),
)
calls = described_as(
    type=either("function", "custom"),
    id=either("x"),
    function=either(described_as(name=either("f"), arguments=either("{}"))),
)
messages = st.fixed_dictionaries(
    {"role": either("user", "assistant", "tool", "function", "system", "developer")},
    optional={
        "content": either("x", None, st.lists(either(parts), max_size=2)),
        "tool_calls": either(st.lists(either(calls), max_size=2)),
        "tool_call_id": either("x"),
        "name": either("x"),
        **{key: odd for key in STANDS_FOR_CONTENT if key != "tool_calls"},
    },
)
bodies = st.one_of(
    st.fixed_dictionaries({"messages": either(st.lists(either(messages), max_size=2))}),
    described_as(
        messages=either([HI]), prompt=either("x", None), replaces=either("x", "x" * 128, "x" * 129)
    ),
    described_as(prompt=either("x"), replaces=either("x", "x" * 128, "x" * 129)),
    described_as(
        messages=st.just([HI]),
        model=either("m"),
        stream=either(True),
        stream_options=either({"include_usage": True}, {"include_usage": "x"}),
        max_completion_tokens=either(1, 2**31 - 1),
        max_tokens=either(1, 2**31 - 1),
        temperature=either(0, 100, 100.5),
        top_p=either(0, 1, 1.5),
        stop=either("x", ["x"], ["x"] * 64),
        seed=either(-(2**63), 2**63 - 1),
        n=either(1),
        tools=odd,
    ),
    odd,
)


def test_the_description_and_the_decoder_agree() -> None:
    verdicts = {True: 0, False: 0}

    @settings(max_examples=800, deadline=None, database=None, derandomize=True)
    @given(bodies)
    def they_agree(body: Any) -> None:
        accepted = is_accepted(body)
        verdicts[accepted] += 1
        assert described.is_valid(body) == accepted, body

    they_agree()
    assert min(verdicts.values()) > 100, verdicts


@pytest.mark.parametrize("key", STANDS_FOR_CONTENT)
@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, True, 1, "x", ["x"], {"x": 1}])
def test_they_agree_on_what_stands_for_content(key: str, value: Any) -> None:
    body = {"messages": [{"role": "assistant", key: value}]}
    assert described.is_valid(body) == is_accepted(body)


def with_some(**values: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return an object for each choice of values; ``...`` leaves a key out."""
    chosen = (dict(zip(values, row, strict=True)) for row in itertools.product(*values.values()))
    return [{key: value for key, value in each.items() if value is not ...} for each in chosen]


def test_they_agree_on_every_part_of_a_message() -> None:
    links: tuple[Any, ...] = (..., None, 1, "x", {}, {"url": None}, {"url": "x"})
    for part in with_some(
        type=(..., None, 1, "text", "image_url", "other"), text=(..., None, 1, "x"), image_url=links
    ):
        body = {"messages": [{"role": "user", "content": [part]}]}
        assert described.is_valid(body) == is_accepted(body), part


def test_they_agree_on_every_call_of_a_tool() -> None:
    functions = with_some(name=(..., None, 1, "f"), arguments=(..., None, 1, "{}"))
    for call in with_some(
        type=(..., None, 1, "function", "custom"),
        id=(..., None, 1, "x"),
        function=(..., None, 1, *functions),
    ):
        body = {"messages": [{"role": "assistant", "tool_calls": [call]}]}
        assert described.is_valid(body) == is_accepted(body), call


@pytest.mark.parametrize("count", [0, 1, MAX_MESSAGES, MAX_MESSAGES + 1])
def test_they_agree_on_how_many_messages_there_may_be(count: int) -> None:
    body = {"messages": [HI] * count}
    assert described.is_valid(body) == is_accepted(body) == (0 < count <= MAX_MESSAGES)


@pytest.mark.parametrize("length", [0, 1, 512, 513])
def test_they_agree_on_how_long_a_models_name_may_be(length: int) -> None:
    """In characters, not in bytes."""
    body = {"prompt": "x", "model": "😀" * length}
    assert described.is_valid(body) == is_accepted(body) == (0 < length <= 512)


@pytest.mark.parametrize("kind", REQUEST)
def test_what_the_decoder_reads_is_described(kind: type[msgspec.Struct]) -> None:
    """A key that it reads and nobody describes would pass for an unknown one above."""
    described_keys = {field.name for field in msgspec.structs.fields(kind)}
    assert described_keys == KNOWN | {"max_completion_tokens"}
