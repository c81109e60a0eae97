"""Tables and text of the pages that the benchmarks write."""

from collections.abc import Iterator

from jarvis_trio.storm.report import printable

LONGEST_EVIDENCE = 300


def table(heads: list[str]) -> Iterator[str]:
    """Return the first two lines of a table."""
    yield row(heads)
    yield row(["---"] * len(heads))


def row(cells: list[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def escaped(said: str) -> str:
    """Return what a server may have said as text that is no Markdown, and no page long."""
    plain = printable(said)
    brief = plain if len(plain) <= LONGEST_EVIDENCE else f"{plain[:LONGEST_EVIDENCE]}…"
    return "".join(f"\\{each}" if each in "\\`*_<>[]|" else each for each in brief)
