"""The built-in model as a provider: models, tokens, endings and pace, in virtual time."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jarvis_trio.errors import ModelNotFoundError
from jarvis_trio.events import ChatRequest, Delta, Finish, Message, Model, Text, Usage
from jarvis_trio.providers.base import Answer, Provider
from jarvis_trio.providers.simulated import (
    MAX_TOKENS_PER_RECEIVE,
    SimulatedOptions,
    SimulatedProvider,
    count_words,
    cut_at_stop,
    split_tokens,
    stretch,
)
from jarvis_trio.providers.simulated_text import reply

INSTANT = SimulatedOptions(tokens_per_second=0, first_token_ms=0)
ESSAY = "Write a 3 paragraph essay about the sea"


def asking(
    prompt: str,
    *,
    model: str | None = None,
    max_tokens: int | None = None,
    stop: tuple[str, ...] = (),
) -> ChatRequest:
    return ChatRequest(
        messages=(Message("user", prompt),), model=model, max_tokens=max_tokens, stop=stop
    )


def natural_text(prompt: str) -> str:
    return reply([Message("user", prompt)])


async def receive_all(answer: Answer) -> list[list[Delta]]:
    lists = []
    with trio.fail_after(600):
        while deltas := await answer.receive():
            lists.append(deltas)
    return lists


async def answered(
    request: ChatRequest, options: SimulatedOptions = INSTANT
) -> tuple[list[str], list[Delta]]:
    """Return the answer's tokens and what came after them."""
    async with SimulatedProvider(options).chat(request) as answer:
        deltas = [delta for deltas in await receive_all(answer) for delta in deltas]
    tokens = [delta.text for delta in deltas if isinstance(delta, Text)]
    return tokens, deltas[len(tokens) :]


async def test_the_model_list_says_that_it_is_a_simulation() -> None:
    provider: Provider = SimulatedProvider()
    assert await provider.models() == [Model(id="jarvis-simulated", owned_by="jarvis_trio")]
    assert provider.default_model == "jarvis-simulated"


async def test_the_model_may_be_named_or_left_out() -> None:
    assert await answered(asking("hi", model="jarvis-simulated")) == await answered(asking("hi"))


async def test_any_other_model_is_not_found_and_the_message_names_the_one_there_is() -> None:
    with pytest.raises(ModelNotFoundError, match="jarvis-simulated") as caught:
        async with SimulatedProvider().chat(asking("hi", model="gpt-4o")):
            pytest.fail("an answer was given for a model that does not exist")
    assert "gpt-4o" in caught.value.message
    assert caught.value.param == "model"


async def test_the_tokens_join_to_the_text_and_then_come_finish_and_usage() -> None:
    tokens, end = await answered(asking(ESSAY))
    assert "".join(tokens) == natural_text(ESSAY)
    assert len(tokens) == len(natural_text(ESSAY).split())
    assert end == [Finish("stop"), Usage(prompt_tokens=8, completion_tokens=len(tokens))]


async def test_after_the_end_every_receive_is_empty() -> None:
    async with SimulatedProvider(INSTANT).chat(asking("hi")) as answer:
        await receive_all(answer)
        assert [await answer.receive() for _ in range(3)] == [[], [], []]


async def test_max_tokens_cuts_the_answer_and_says_length() -> None:
    tokens, end = await answered(asking(ESSAY, max_tokens=5))
    assert "".join(tokens) == "Few subjects reward a second "
    assert end == [Finish("length"), Usage(prompt_tokens=8, completion_tokens=5)]


async def test_an_answer_of_just_max_tokens_is_not_cut() -> None:
    length = len(natural_text("hi").split())
    assert (await answered(asking("hi", max_tokens=length)))[1][0] == Finish("stop")
    assert (await answered(asking("hi", max_tokens=length - 1)))[1][0] == Finish("length")


@pytest.mark.parametrize("max_tokens", [0, -3])
async def test_max_tokens_below_one_is_an_empty_answer_that_ends_well(max_tokens: int) -> None:
    tokens, end = await answered(asking("hi", max_tokens=max_tokens))
    assert tokens == []
    assert end == [Finish("length"), Usage(prompt_tokens=1, completion_tokens=0)]


async def test_a_stop_sequence_ends_the_answer_before_it() -> None:
    tokens, end = await answered(asking(ESSAY, stop=("never there", "second look", "as well")))
    assert "".join(tokens) == "Few subjects reward a "
    assert end[0] == Finish("stop")


async def test_a_stop_sequence_at_the_very_start_leaves_nothing_to_say() -> None:
    tokens, end = await answered(asking(ESSAY, stop=("Few",)))
    assert tokens == []
    assert end[0] == Finish("stop")


async def test_the_earlier_of_max_tokens_and_stop_decides_the_finish() -> None:
    assert (await answered(asking(ESSAY, stop=("second",), max_tokens=3)))[1][0] == Finish("length")
    assert (await answered(asking(ESSAY, stop=("second",), max_tokens=9)))[1][0] == Finish("stop")


def test_an_empty_stop_sequence_stops_nothing() -> None:
    assert cut_at_stop("some words", ["", "or"]) == "some w"
    assert cut_at_stop("some words", [""]) == "some words"


@pytest.mark.parametrize("length", [1, 7, 1000])
async def test_the_length_option_makes_the_answer_exactly_that_long(length: int) -> None:
    options = SimulatedOptions(tokens_per_second=0, first_token_ms=0, length=length)
    tokens, end = await answered(asking("hi"), options)
    assert len(tokens) == length
    assert end == [Finish("stop"), Usage(prompt_tokens=1, completion_tokens=length)]


async def test_a_conversation_without_a_word_is_answered_all_the_same() -> None:
    for messages in ((), (Message("system", "Be terse."),), (Message("user", " \n"),)):
        tokens, end = await answered(ChatRequest(messages=messages))
        assert len(tokens) > 5
        assert end[0] == Finish("stop")


def test_the_words_of_a_prompt_are_counted_over_all_messages() -> None:
    assert count_words([Message("system", "Be terse."), Message("user", "one two\nthree ")]) == 5
    assert count_words([Message("user", ""), Message("user", "  ")]) == 0


@settings(deadline=None)
@given(st.text())
@example("  leading blanks")
def test_joined_tokens_are_the_text_whatever_the_text(text: str) -> None:
    tokens = split_tokens(text)
    assert "".join(tokens) == text
    assert all(tokens)


@settings(deadline=None)
@given(st.text(), st.integers(1, 300))
def test_a_stretched_text_has_exactly_the_length_asked_for(text: str, length: int) -> None:
    stretched = stretch(text.strip(), length)
    assert len(split_tokens(stretched)) == (length if text.strip() else 0)
    assert stretched == stretched.strip()


@settings(deadline=None)
@given(st.text(alphabet="ab ", max_size=30), st.lists(st.text(alphabet="ab ", max_size=3)))
def test_no_stop_sequence_is_in_a_cut_text(text: str, stop: list[str]) -> None:
    cut = cut_at_stop(text, stop)
    assert text.startswith(cut)
    assert not any(sequence in cut for sequence in stop if sequence)
    assert cut == text or any(text[len(cut) :].startswith(s) for s in stop if s)


async def token_times(options: SimulatedOptions, prompt: str = "hi") -> list[float]:
    start = trio.current_time()
    times = []
    async with SimulatedProvider(options).chat(asking(prompt)) as answer:
        while isinstance((await answer.receive())[0], Text):
            times.append(trio.current_time() - start)
    return times


async def test_tokens_come_at_150_170_190_milliseconds_by_default(
    autojump_clock: trio.testing.MockClock,
) -> None:
    times = await token_times(SimulatedOptions())
    assert times[:4] == pytest.approx([0.15, 0.17, 0.19, 0.21])
    assert len(times) == len(natural_text("hi").split())


async def test_the_thousandth_token_is_as_punctual_as_the_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    options = SimulatedOptions(tokens_per_second=7, first_token_ms=1000, length=1000)
    times = await token_times(options)
    assert times == pytest.approx([1 + i / 7 for i in range(1000)], abs=1e-9)


async def test_a_late_reader_gets_everything_due_at_once_and_then_the_usual_pace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with SimulatedProvider(SimulatedOptions()).chat(asking(ESSAY)) as answer:
        await trio.sleep(0.36)  # tokens 0 to 10 are due at 0.15, 0.17, …, 0.35
        assert len(await answer.receive()) == 11
        assert trio.current_time() - start == pytest.approx(0.36)
        assert len(await answer.receive()) == 1
        assert trio.current_time() - start == pytest.approx(0.37)


async def test_the_end_comes_with_no_wait_after_the_last_token(
    autojump_clock: trio.testing.MockClock,
) -> None:
    options = SimulatedOptions(tokens_per_second=10, first_token_ms=0, length=3)
    start = trio.current_time()
    await answered(asking("hi"), options)
    assert trio.current_time() - start == pytest.approx(0.2)


async def test_as_fast_as_possible_waits_for_the_first_token_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    options = SimulatedOptions(tokens_per_second=0, first_token_ms=300, length=200)
    times = await token_times(options)
    assert times == pytest.approx([0.3] * len(times))


async def test_no_receive_brings_more_than_64_tokens_however_fast_or_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for rate in (0, 1000):
        options = SimulatedOptions(tokens_per_second=rate, first_token_ms=0, length=200)
        async with SimulatedProvider(options).chat(asking("hi")) as answer:
            await trio.sleep(10)
            sizes = [len(deltas) for deltas in await receive_all(answer)]
        assert sizes == [MAX_TOKENS_PER_RECEIVE, 64, 64, 8, 2]


async def test_entering_and_every_receive_is_a_checkpoint() -> None:
    provider = SimulatedProvider(INSTANT)
    with trio.testing.assert_checkpoints():
        context = provider.chat(asking(ESSAY))
        answer = await context.__aenter__()
    sizes: Sequence[int] = (1, 1, 1, 1, 2, 0)
    for _ in sizes:
        with trio.testing.assert_checkpoints():
            await answer.receive()
    with trio.testing.assert_no_checkpoints():
        await context.__aexit__(None, None, None)


async def test_leaving_in_the_middle_awaits_nothing_even_when_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    with trio.move_on_after(0.18) as scope:
        async with SimulatedProvider().chat(asking(ESSAY)) as answer:
            await receive_all(answer)
    assert scope.cancelled_caught
    assert trio.current_time() - start == pytest.approx(0.18)


async def test_a_cancelled_receive_loses_no_token(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with SimulatedProvider().chat(asking("hi")) as answer:
        with trio.move_on_after(0.1):
            await answer.receive()
        deltas = [delta for deltas in await receive_all(answer) for delta in deltas]
    assert "".join(d.text for d in deltas if isinstance(d, Text)) == natural_text("hi")


async def test_answers_at_the_same_time_share_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    provider = SimulatedProvider()
    prompts = ["hi", "What is 2+2?", "hi", ESSAY]
    texts = [""] * len(prompts)

    async def converse(index: int) -> None:
        async with provider.chat(asking(prompts[index])) as answer:
            for deltas in await receive_all(answer):
                texts[index] += "".join(d.text for d in deltas if isinstance(d, Text))

    async with trio.open_nursery() as nursery:
        for index in range(len(prompts)):
            nursery.start_soon(converse, index)
    assert texts == [natural_text(prompt) for prompt in prompts]
