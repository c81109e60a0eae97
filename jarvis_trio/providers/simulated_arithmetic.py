"""A calculator for prompts such as "What is 2+2?": exact, bounded, and it never raises.

::

    sum     = operand (operator operand)*       + -  <  * / %  <  sign  <  ^ **
    operand = number | "(" sum ")" | sign sum

Sizes are bounded before anything is worked out, so that no prompt can hold the event loop.
"""

import re
from enum import Enum
from fractions import Fraction

MAX_EXPRESSION_CHARS = 200
"""Also what bounds the recursion: two frames per character."""

MAX_BITS = 1000
"""The largest numerator and denominator; anything below also fits a float."""

DECIMALS = 10

LARGEST_EXACT_FLOAT = 2**53

LEAD = re.compile(
    r"(?:hi|hello|hey|ok|okay|so|and|now|please|can you|could you|tell me|quick question|what is"
    r"|what's|whats|calculate|compute|evaluate|solve|work out|how much is|how much are"
    r"|the result of|the value of|the answer to)\b[\s,:;!.]*"
)
SPOKEN = (
    ("to the power of", "^"),
    ("multiplied by", "*"),
    ("divided by", "/"),
    ("percent of", "/100*"),
    ("% of", "/100*"),
    ("plus", "+"),
    ("minus", "-"),
    ("times", "*"),
    ("squared", "^2"),
    ("cubed", "^3"),
    ("modulo", "%"),
    ("mod", "%"),
    ("\N{MULTIPLICATION SIGN}", "*"),
    ("\N{DIVISION SIGN}", "/"),
    ("\N{MINUS SIGN}", "-"),
)
TIMES_SIGN = re.compile(r"(?<=[0-9)\s])x(?=[0-9(\s])")
THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
ONLY_SUM = re.compile(r"[-+*/%^().\s0-9]*")
HAS_OPERATION = re.compile(r"[0-9)]\s*[-+*/%^]")
PIECE = re.compile(r"\*\*|[-+*/%^()]|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|\S")
NUMBER = re.compile(r"[0-9.]*[0-9]")

BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 4, "**": 4}
SIGN_BINDING = 3


class Impossible(Enum):
    """Why a sum that can be read has no answer here."""

    DIVISION_BY_ZERO = "it divides by zero"
    TOO_LARGE = "it goes beyond the small calculator in here"
    NOT_REAL = "no real number is the root of a negative one"


class _ImpossibleSumError(Exception):
    def __init__(self, why: Impossible) -> None:
        self.why = why


class _NotASumError(Exception):
    pass


def work_out(prompt: str) -> str | None:
    """Answer a prompt that is a sum, in one line; None when it is none."""
    asked = prompt.strip().lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    while lead := LEAD.match(asked):
        asked = asked[lead.end() :]
    asked = " ".join(asked.rstrip("?=!. \n").removesuffix("please").rstrip("?=!., \n").split())
    expression = asked
    for spoken, operator in SPOKEN:
        expression = expression.replace(spoken, operator)
    expression = THOUSANDS.sub("", TIMES_SIGN.sub("*", expression))
    if not HAS_OPERATION.search(expression):
        return None
    # An asterisk would be emphasis on a page that renders markdown.
    shown = asked.replace("**", "^").replace("*", "\N{MULTIPLICATION SIGN}")
    match evaluate(expression):
        case None:
            return None
        case Impossible() as why:
            shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
            return f"{shown} has no answer that I can give: {why.value}."
        case value:
            return f"{shown} {_written(value)}."


def evaluate(expression: str) -> Fraction | Impossible | None:
    """Work out a sum exactly; None when the text is not one. Raises nothing, whatever the text.

    Only a root or another broken power is rounded, to a float.
    """
    if not ONLY_SUM.fullmatch(expression):
        return None
    if len(expression) > MAX_EXPRESSION_CHARS:
        return Impossible.TOO_LARGE
    pieces = PIECE.findall(expression)[::-1]
    try:
        value = _sum(pieces, 1)
    except _ImpossibleSumError as error:
        return error.why
    except _NotASumError:
        return None
    return None if pieces else value


def _sum(pieces: list[str], floor: int) -> Fraction:
    # `pieces` is what is still to be read, the next one last.
    value = _operand(pieces)
    while pieces and BINDING.get(pieces[-1], 0) >= floor:
        operator = pieces.pop()
        # Powers are worked out from the right, everything else from the left.
        right_floor = BINDING[operator] + (operator not in {"^", "**"})
        value = _apply(operator, value, _sum(pieces, right_floor))
    return value


def _operand(pieces: list[str]) -> Fraction:
    piece = pieces.pop() if pieces else ""
    if piece == "(":
        value = _sum(pieces, 1)
        if not pieces or pieces.pop() != ")":
            raise _NotASumError
        return value
    if piece in {"-", "+"}:
        value = _sum(pieces, SIGN_BINDING)
        return -value if piece == "-" else value
    if not NUMBER.fullmatch(piece):
        raise _NotASumError
    return Fraction(piece)


def _apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    try:
        match operator:
            case "+":
                value = left + right
            case "-":
                value = left - right
            case "*":
                value = left * right
            case "/":
                value = left / right
            case "%":
                value = left % right
            case _:
                value = _power(left, right)
    except ZeroDivisionError:
        raise _ImpossibleSumError(Impossible.DIVISION_BY_ZERO) from None
    except OverflowError:
        raise _ImpossibleSumError(Impossible.TOO_LARGE) from None
    if _bits(value) > MAX_BITS:
        raise _ImpossibleSumError(Impossible.TOO_LARGE)
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        if base < 0:
            raise _ImpossibleSumError(Impossible.NOT_REAL)
        rounded = float(base) ** float(exponent)
        if rounded > LARGEST_EXACT_FLOAT or (rounded == 0 and base != 0):
            raise OverflowError
        return Fraction(rounded)
    if (_bits(base) - 1) * abs(exponent) > MAX_BITS:
        raise _ImpossibleSumError(Impossible.TOO_LARGE)
    return Fraction(base**exponent.numerator)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _written(value: Fraction) -> str:
    scaled = value * 10**DECIMALS
    if scaled.denominator != 1:
        return f"≈ {float(value):.{DECIMALS}g}"
    whole, part = divmod(abs(scaled.numerator), 10**DECIMALS)
    sign = "-" if value < 0 else ""
    return f"= {sign}{whole}.{part:0{DECIMALS}d}".rstrip("0").rstrip(".")
