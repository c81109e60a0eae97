"""The calculator of the built-in model: right, exact, bounded, and never an exception."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_trio.providers.simulated_arithmetic import Impossible, evaluate, work_out


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("What is 2+2?", "2+2 = 4."),
        ("what's 12 * 7 - 3", "12 × 7 - 3 = 81."),  # noqa: RUF001 - as it is shown
        ("What\u2019s 7 - 12?", "7 - 12 = -5."),
        ("(3+4)/2", "(3+4)/2 = 3.5."),
        ("2^10", "2^10 = 1024."),
        ("2**10", "2^10 = 1024."),
        ("Hi, can you calculate 10 % 4 please?", "10 % 4 = 2."),
        ("How much is 12 x 7?", "12 x 7 = 84."),
        ("12 times 7 minus 3", "12 times 7 minus 3 = 81."),
        ("9 divided by 2", "9 divided by 2 = 4.5."),
        ("What is 20% of 50?", "20% of 50 = 10."),
        ("1,000,000 + 1 =", "1,000,000 + 1 = 1000001."),
        ("0.1+0.2", "0.1+0.2 = 0.3."),
        ("-1/4", "-1/4 = -0.25."),
        ("1/3", "1/3 ≈ 0.3333333333."),
        ("2^0.5", "2^0.5 ≈ 1.414213562."),
        ("5-5", "5-5 = 0."),
    ],
)
def test_a_sum_in_a_prompt_is_answered_in_one_line(prompt: str, answer: str) -> None:
    assert work_out(prompt) == answer


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2-3-4", -5),
        ("2/3/4", Fraction(1, 6)),
        ("2+3*4", 14),
        ("2*3^2", 18),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("2^-1", Fraction(1, 2)),
        ("2*-3", -6),
        ("--3", 3),
        (" ( 1 + .5 ) * 2 ", 3),
        ("007", 7),
        ("-7 % 3", 2),
        ("1^999999999999", 1),
        ("(-1)^999999999999", -1),
        ("0^999999999999", 0),
    ],
)
def test_operators_bind_as_in_mathematics(expression: str, value: Fraction) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize("expression", ["1/0", "1%0", "5/(2-2)", "0^-1", "10 % (1-1)", "0^-0.5"])
def test_division_by_zero_has_no_value(expression: str) -> None:
    assert evaluate(expression) is Impossible.DIVISION_BY_ZERO


def test_division_by_zero_gets_a_sentence() -> None:
    assert work_out("What is 1/0?") == "1/0 has no answer that I can give: it divides by zero."


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "9^999999999",
        "(1/9)^99999",
        "2^1001",
        "99^100 * 99^100",
        "2^60.5",
        "10^308.5",
        "10^-400.5",
        "9" * 10_000,
        "9" * 10_000 + "+1",
        "(" * 10_000,
        "1+" * 5_000 + "1",
    ],
)
def test_what_is_too_large_is_refused_before_it_is_worked_out(expression: str) -> None:
    # Were it worked out, 9**9**9 would end this test by its timeout.
    assert evaluate(expression) is Impossible.TOO_LARGE


def test_the_root_of_a_negative_number_is_refused() -> None:
    assert evaluate("(-8)^(1/3)") is Impossible.NOT_REAL


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "((((((",
        "(" * 200,
        "))",
        "()",
        "1+",
        "+",
        "1 2",
        "2(3)",
        "1.",
        "1..2",
        "1e5",
        "x+1",
    ],
)
def test_what_is_not_a_sum_has_no_value(text: str) -> None:
    assert evaluate(text) is None


@pytest.mark.parametrize(
    "expression", ["-" * 199 + "1", "2^" * 99 + "1", "(" * 99 + "1" + ")" * 99]
)
def test_the_deepest_sums_that_fit_do_not_exhaust_the_stack(expression: str) -> None:
    assert len(expression) <= 200
    assert evaluate(expression) is not None


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "5",
        "what is 5",
        "What is love?",
        "-5",
        "C++",
        "hello 2",
        "2 + two",
        "1 + x",
        "5 - 3 is easy " * 50,
    ],
)
def test_a_prompt_that_is_no_sum_is_left_to_others(prompt: str) -> None:
    assert work_out(prompt) is None


@settings(deadline=None)
@given(st.text() | st.text(alphabet="0123456789.+-*/%^() ", max_size=250))
def test_nothing_is_ever_raised_whatever_the_text(text: str) -> None:
    value = evaluate(text)
    if isinstance(value, Fraction):
        assert max(value.numerator.bit_length(), value.denominator.bit_length()) <= 1100
    shown = work_out(text)
    assert shown is None or shown.endswith(".")


@settings(deadline=None)
@given(st.integers(-(10**6), 10**6), st.sampled_from("+-*"), st.integers(0, 10**6))
def test_whole_numbers_come_out_as_python_has_them(left: int, operator: str, right: int) -> None:
    expected = {"+": left + right, "-": left - right, "*": left * right}[operator]
    assert evaluate(f"{left} {operator} {right}") == expected
