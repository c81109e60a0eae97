"""What the built-in model says: readable, deterministic, and plain about being a simulation."""

import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jarvis_trio.events import Message
from jarvis_trio.providers.simulated_essay import POEM_NOTE, essay, poem
from jarvis_trio.providers.simulated_text import quoted, reply


def said(*prompts: str) -> str:
    """Reply to the last of these prompts."""
    messages = [Message("system", "You are a pirate.")]
    for prompt in prompts:
        messages += [Message("user", prompt), Message("assistant", "Aye.")]
    return reply(messages[:-1])


def test_a_sum_is_worked_out() -> None:
    assert said("What is 2+2?").startswith("2+2 = 4.")


@pytest.mark.parametrize("prompt", ["hi", "Hello!", "good morning", "Hey there, how are you?"])
def test_a_greeting_is_returned(prompt: str) -> None:
    assert said(prompt).startswith("Hello, and welcome to jarvis_trio!")


def test_thanks_are_accepted() -> None:
    assert said("Thank you!").startswith("You are welcome!")


@pytest.mark.parametrize(
    "prompt",
    [
        "who are you?",
        "Who  are\t you?",
        "Hello, what model are you?",
        "Which language model is this?",
        "Are you ChatGPT?",
        "What is your name?",
        "what can you do",
    ],
)
def test_asked_who_it_is_it_says_a_simulation_and_how_to_connect_a_model(prompt: str) -> None:
    answer = said(prompt)
    assert "a simulation built into jarvis_trio, not a language model" in answer
    assert "JARVIS_UPSTREAM=ollama:http://127.0.0.1:11434" in answer
    assert "JARVIS_UPSTREAM=openai:http" in answer


@pytest.mark.parametrize(
    ("prompt", "paragraphs"),
    [
        ("Write a 10 paragraph essay", 10),
        ("Write me a very long, detailed 10-paragraph essay about cats, please.", 10),
        ("Long essay about quantum computing", 8),
        ("essay about tea in 5 paragraphs", 5),
        ("Explain photosynthesis in five paragraphs", 5),
        ("Write about 3 paragraphs on cats", 3),
        ("Tell me a story", 8),
        ("I need a very long explanation of tides", 24),
        ("Write an 800 word essay on Rome", 10),
        ("Write a 1 paragraph essay", 1),
        ("Write a 0 paragraph essay", 1),
        ("Write a 2 paragraph essay", 2),
        ("Write a 99999999 paragraph essay", 200),
    ],
)
def test_an_essay_has_the_paragraphs_asked_for_each_of_sixty_words(
    prompt: str, paragraphs: int
) -> None:
    found = said(prompt).split("\n\n")
    assert len(found) == paragraphs
    assert min(len(paragraph.split()) for paragraph in found) >= 60
    assert "simulated model" in found[-1]


@pytest.mark.parametrize(
    ("prompt", "topic"),
    [
        ("Long essay about quantum computing", "quantum computing"),
        ("Write an essay about Germany in 1945, please", "Germany in 1945"),
        ("essay about tea ceremonies in exactly 5 paragraphs.", "tea ceremonies"),
        ("Write an essay on the U.S. economy. Be brief.", "the U.S. economy"),
        ("Write about 3 paragraphs on cats", "cats"),
        ('Write an essay about "War and Peace"', "War and Peace"),
        ("tell me a story about my dog", "your dog"),
        ("Write an essay about Python code", "Python code"),
        ("Write an essay about {topic} and {0}", "{topic} and {0}"),
        ("Write an essay", "the art of conversation"),
    ],
)
def test_an_essay_is_about_its_topic(prompt: str, topic: str) -> None:
    assert said(prompt).startswith(f"Few subjects reward a second look as well as {topic}.")


def test_no_two_paragraphs_of_the_longest_essay_are_alike() -> None:
    paragraphs = essay("tides", 200).split("\n\n")
    assert len(set(paragraphs)) == 200


def test_essays_about_different_topics_differ_in_more_than_the_topic() -> None:
    assert essay("tides", 8).replace("tides", "tea") != essay("tea", 8)


def test_a_very_long_poem_has_many_stanzas_and_says_that_it_is_simulated() -> None:
    *stanzas, note = said("Write a very long poem").split("\n\n")
    assert len(stanzas) == 24
    assert {len(stanza.splitlines()) for stanza in stanzas} == {8}
    assert "the sea" in stanzas[0]
    assert note == POEM_NOTE


def test_no_two_stanzas_of_a_long_poem_are_alike() -> None:
    assert len(set(poem("rain", 60).split("\n\n"))) == 61


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("write a python function that reverses a string", "python"),
        ("Show me some JavaScript code", "javascript"),
        ("Write code that parses an article", "python"),
    ],
)
def test_asked_for_code_it_shows_one_closed_block(prompt: str, language: str) -> None:
    answer = said(prompt)
    assert answer.count("```") == 2
    assert f"```{language}\n" in answer
    assert "simulated model" in answer


def test_the_python_that_it_shows_runs() -> None:
    block = re.search(r"```python\n(.*?)```", said("write a python function"), re.DOTALL)
    assert block is not None
    ran = subprocess.run([sys.executable, "-c", block[1]], capture_output=True, check=True)
    assert ran.stdout == b"[3, 1, 2]\n"


def test_it_remembers_what_was_just_said() -> None:
    assert 'you said: "I like tea"' in said("hi", "I like tea", "What did I just say?")
    assert "first message" in said("What did I just say?")


@pytest.mark.parametrize(
    "prompt", ["What is an essay?", "Explain the code of conduct", "What is the capital of France?"]
)
def test_anything_else_gets_a_short_answer_that_says_it_is_simulated(prompt: str) -> None:
    answer = said(prompt)
    assert f'"{prompt}"' in answer
    assert "simulated" in answer.partition("\n\n")[0]
    assert len(answer.split()) < 120


def test_a_long_prompt_is_quoted_by_its_first_words_only() -> None:
    answer = said("Lorem ipsum dolor sit amet consectetur " * 1000)
    assert len(answer) < 1000
    assert "Lorem ipsum" in answer
    assert "…" in answer


def test_only_the_beginning_of_a_long_prompt_is_read() -> None:
    assert said("word " * 390 + "write an essay").startswith("Few subjects")
    assert not said("word " * 400 + "write an essay").startswith("Few subjects")


def test_a_message_without_text_is_answered_kindly() -> None:
    assert said(" \n ").startswith("That message had no text")
    assert reply([]).startswith("That message had no text")


def test_a_system_message_changes_nothing() -> None:
    assert reply([Message("user", "hi")]) == said("hi")


def test_another_process_gives_the_same_answer() -> None:
    program = (
        "from jarvis_trio.events import Message\n"
        "from jarvis_trio.providers.simulated_text import reply\n"
        "print(ascii([reply([Message('user', p)]) for p in ('Why?', 'essay about tea')]))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert runs == {(ascii([said("Why?"), said("essay about tea")]) + "\n").encode()}


@settings(deadline=None)
@given(st.text())
@example("\ud800")
@example('\u2028"`')
def test_a_quotation_is_short_printable_and_closes_no_quotes(text: str) -> None:
    quote = quoted(text)
    assert len(quote) <= 61
    assert not set(quote) & set('\n\r\t"`')
    quote.encode("utf-8")


@settings(deadline=None)
@given(st.text())
@example("\ud800")
def test_every_prompt_gets_an_answer_that_can_be_encoded(text: str) -> None:
    assert reply([Message("user", text), Message("user", f"essay about {text}")]).encode("utf-8")
    assert reply([Message("user", text)]).encode("utf-8")


@pytest.mark.parametrize(
    "prompt",
    [
        "1," * 5000 + "1",
        "very,, " * 2000,
        "write" + " a" * 5000,
        "write " * 2000,
        "about in " * 2000,
        "essay about x" + " " * 1900 + "in" + " y" * 50,
        "explain " * 2000 + "paragraph",
        "(" * 10_000,
        "a" * 100_000,
    ],
)
def test_no_prompt_makes_the_patterns_search_for_ever(prompt: str) -> None:
    # A pattern that backtracks exponentially would end this test by its timeout.
    assert reply([Message("user", prompt)])
