"""What a next turn is made of: never anything that a model server or its template refuses."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_trio.engine.conversation import (
    kept_answer,
    newest,
    next_turn,
    title_of,
)
from jarvis_trio.events import Cause, Completion, Message, ToolCall
from jarvis_trio.store.base import State, StoredMessage
from jarvis_trio.store.turns import TITLE_CHARS

PROMPT = (Message("user", "next"),)
PLENTY = 100_000


def stored(*told: tuple[str, str] | StoredMessage) -> list[StoredMessage]:
    """Return messages of one turn for each prompt."""
    messages = []
    turn = 0
    for seq, message in enumerate(told, start=1):
        if not isinstance(message, StoredMessage):
            message = StoredMessage(seq, *message, stream_id="", created_at=0.0)  # noqa: PLW2901
        turn += message.role == "user"
        kept = StoredMessage(
            **{
                field: getattr(message, field)
                for field in StoredMessage.__struct_fields__
                if field != "stream_id"
            },
            stream_id=f"str_{turn}",
        )
        messages.append(kept)
    return messages


def answer(text: str = "", state: State = State.COMPLETE, **more: object) -> StoredMessage:
    return StoredMessage(0, "assistant", text, "", 0.0, state, **more)  # type: ignore[arg-type]


def result(call: str) -> StoredMessage:
    return StoredMessage(0, "tool", f"result of {call}", "", 0.0, tool_call_id=call)


def calls(*ids: str, text: str = "") -> StoredMessage:
    asked = tuple(ToolCall(n, name, "weather", "{}") for n, name in enumerate(ids))
    return answer(text, tool_calls=asked)


def told(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


def test_the_conversation_comes_before_the_prompt() -> None:
    past = stored(("system", "be brief"), ("user", "a"), answer("to a"))
    assert told(next_turn(past, PROMPT, PLENTY)) == [
        ("system", "be brief"),
        ("user", "a"),
        ("assistant", "to a"),
        ("user", "next"),
    ]


def test_case_1_a_turn_that_failed_without_a_word_is_left_out() -> None:
    past = stored(("user", "a"), answer("", State.FAILED), ("user", "b"), answer("to b"))
    assert told(next_turn(past, PROMPT, PLENTY))[0] == ("user", "b")
    some = stored(("user", "a"), answer("half", State.FAILED))
    assert told(next_turn(some, PROMPT, PLENTY))[:2] == [("user", "a"), ("assistant", "half")]


def test_case_2_tool_calls_stay_where_all_their_results_follow() -> None:
    past = stored(("user", "a"), calls("1", "2"), result("1"), result("2"), answer("fine"))
    turn = next_turn(past, PROMPT, PLENTY)
    assert [message.role for message in turn] == [
        "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip
    assert [call.id for call in turn[1].tool_calls] == ["1", "2"]
    assert turn[2].tool_call_id == "1"


def test_case_2_calls_without_their_results_go_and_so_do_results_without_their_calls() -> None:
    past = stored(("user", "a"), calls("1", "2", text="wait"), result("1"), answer("hm"))
    turn = next_turn(past, PROMPT, PLENTY)
    assert told(turn) == [("user", "a"), ("assistant", "wait\n\nhm"), ("user", "next")]
    assert not any(message.tool_calls for message in turn)
    assert told(next_turn(stored(("user", "a"), calls("1")), PROMPT, PLENTY)) == [
        ("user", "a\n\nnext")
    ]


def test_case_3_a_prompt_without_an_answer_goes_with_the_next() -> None:
    past = stored(("user", "a"), answer("", State.INTERRUPTED))
    assert told(next_turn(past, PROMPT, PLENTY)) == [("user", "a\n\nnext")]


def test_case_3_what_two_messages_are_joined_to_is_not_what_the_client_sent_of_one() -> None:
    prompt = (Message("user", "next", sent={"role": "user", "content": "next"}),)
    joined = next_turn(stored(("user", "a"), answer("")), prompt, PLENTY)
    assert joined[-1].sent == {}
    assert next_turn([], prompt, PLENTY)[-1].sent == {"role": "user", "content": "next"}


def test_case_4_the_oldest_exchanges_go_first_and_instructions_stay() -> None:
    past = stored(
        ("system", "be brief"),
        ("user", "a" * 400), answer("b" * 400),
        ("user", "c" * 400), answer("d" * 400),
    )  # fmt: skip
    assert [text[0] for _, text in told(next_turn(past, PROMPT, 300))] == ["b", "c", "d", "n"]
    assert [text[0] for _, text in told(next_turn(past, PROMPT, 100))] == ["b", "n"]
    assert len(next_turn(past, PROMPT, 600)) == 6


def test_case_4_prompts_that_had_no_answer_go_one_by_one() -> None:
    asked = [("user", letter * 400) for letter in "abc"]
    past = stored(*[one for prompt in asked for one in (prompt, answer("", State.INTERRUPTED))])
    assert told(next_turn(past, PROMPT, 250)) == [("user", f"{'b' * 400}\n\n{'c' * 400}\n\nnext")]


def test_case_4_a_prompt_that_is_larger_than_the_budget_is_sent_whole() -> None:
    huge = (Message("user", "x" * 10_000),)
    assert next_turn(stored(("user", "a"), answer("b")), huge, 10) == huge


ANY = st.one_of(
    st.tuples(st.sampled_from(["system", "user", "user"]), st.text(max_size=3)),
    st.builds(
        answer,
        st.text(max_size=3),
        st.sampled_from(State),
        tool_calls=st.lists(st.sampled_from("12"), max_size=2, unique=True).map(
            lambda ids: tuple(ToolCall(n, name, "f", "{}") for n, name in enumerate(ids))
        ),
    ),
    st.sampled_from("12").map(result),
)


@given(st.lists(ANY, max_size=12), st.integers(0, 60))
def test_whatever_is_stored_a_strict_template_takes_the_next_turn(
    past: list[tuple[str, str] | StoredMessage], budget: int
) -> None:
    turn = next_turn(stored(*past), PROMPT, budget)
    talk = [message for message in turn if message.role != "system"]
    assert talk[0].role == "user"
    assert turn[-1].role == "user"
    assert turn[-1].text.endswith("next")
    for one, other in pairwise(talk):
        assert one.role != other.role or one.role == "tool" or one.tool_calls or other.tool_calls
    open_calls: set[str | None] = set()
    for message in talk:
        if message.role == "tool":
            assert message.tool_call_id in open_calls
            open_calls.remove(message.tool_call_id)
        else:
            assert not open_calls
            open_calls = {call.id for call in message.tool_calls}
            assert message.text or message.images or message.tool_calls
    assert not open_calls


@pytest.mark.parametrize(
    ("roles", "begin"),
    [
        ("u", 0),
        ("su", 1),
        ("suau", 3),
        ("uatt", 2),
        ("uu", 0),
        ("s", 1),
        ("ua", 2),
    ],
)
def test_the_prompt_is_what_stands_behind_the_last_answer(roles: str, begin: int) -> None:
    names = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}
    assert newest([Message(names[role], "") for role in roles]) == begin


def test_a_title_is_one_line_of_the_first_prompt() -> None:
    assert title_of([Message("system", "be brief"), Message("user", " what\n is  2+2? ")]) == (
        "what is 2+2?"
    )
    assert title_of([Message("user", "a " * 1000)]).endswith("a…")
    assert len(title_of([Message("user", "é" * 10_000)])) == TITLE_CHARS
    assert title_of([Message("tool", "x")]) == ""


@pytest.mark.parametrize("cause", Cause)
def test_of_an_answer_that_has_not_come_to_its_end_no_tool_call_is_kept(cause: Cause) -> None:
    made = Completion(text="a", tool_calls=(ToolCall(0, "1", "f", "{"),))
    kept, state = kept_answer(made, cause)
    assert (state is State.COMPLETE) == (cause is Cause.COMPLETED) == bool(kept.tool_calls)
    assert (state is State.FAILED) == cause.startswith("upstream")
