"""How the page tells numbers, and its tables by the number of streams."""

from collections.abc import Callable, Iterator

from tests.benchmarks.bench.figure import Figure
from tests.benchmarks.bench.figures import LoadFigures, ServerFigures, Summary
from tests.benchmarks.markdown import row, table

KEPT_UP = {True: "", False: " †"}


def by_size(summary: Summary, cell: Callable[[ServerFigures, LoadFigures], str]) -> Iterator[str]:
    """Return a table with a row for each server and a column for each number of streams."""
    yield from table(["server", *(streams(size) for size in summary.sizes)])
    for server in summary.compared:
        if server.loads:
            loads = [server.load(size) for size in summary.sizes]
            cells = [cell(server, load) + KEPT_UP[load.kept_up] if load else "" for load in loads]
            yield row([server.name, *cells])


def streams(count: int) -> str:
    """Return how many."""
    return f"{count} stream{'s' if count > 1 else ''}"


def pair(one: Figure | None, other: Figure | None) -> str:
    """Return two numbers, such as p50 and p99."""
    return f"{told(one)} / {told(other)}" if one or other else ""


def told(figure: Figure | None) -> str:
    """Return a number with its spread, where it has one."""
    if figure is None:
        return ""
    low, high = number(figure.low), number(figure.high)
    return number(figure.median) + (f" ({low} to {high})" if low != high else "")


def number(value: float) -> str:
    """Return it with as many places as mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{1 if abs(value) >= 10 else 2}f}"
