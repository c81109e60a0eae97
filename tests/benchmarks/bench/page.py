"""docs/performance.md, made from what a run has kept: nothing in it that was not measured."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.bench.figures import Figure, LoadFigures, ServerFigures, Summary
from tests.benchmarks.bench.targets import Target, targets
from tests.benchmarks.markdown import escaped, row, table
from tests.benchmarks.peer import OURS

PROFILE = Path(__file__).with_name("profile.md")
"""Where the time goes, found with a profiler; its text is part of the page when it is there."""

INTRODUCTION = """\
# What it costs, beside others

`make bench` installs each server below in an environment of its own, puts it before the same mock
model server, lets the same client read from it, and writes this page. Each measurement has freshly
started processes and is made of all servers in turn, then the next, and all of it again in the next
round. Nothing here was written by hand, and nothing is told that was not measured.

Every stream has 50 tokens per second, each a write of the model server's own of about 250 bytes;
the streams begin within a second. A number is the median of the rounds, with the least and the most
of them in brackets. A gateway that costs little may do little: nginx here passes bytes on and knows
nothing of prompts, sessions, or a model server's errors.
"""

KEPT_UP = {True: "", False: " †"}

DEFINITIONS = """\
## What the words mean

- CPU per token: user and system time of the server's whole tree of processes, by the kernel's own
  account, from before the first prompt to after the last token, by the tokens that the client read.
- Added TTFT: from the prompt's connection to its first text at the client, less what the model
  server itself took from the prompt to its first token. The floor has no model server: its own
  schedule counts as one.
- Pause: between two reads of one stream that bring text.
- Behind: how much later a stream's last token comes than at the model server's own pace, counted
  from the prompt (p99 of the streams). More than a second is not keeping up.
- Memory per stream: what the tree of processes has grown by in the middle of the run, by the
  streams that are open then. RSS counts a page once per process, PSS a shared page once.
- Cancel: from the client's close() to the model server's seeing its own connection closed.
- Supersede: from a new prompt in a session to its first text, less the model server's own TTFT.
- Cold start: from starting the process to the first text of the first prompt, asked until it comes.
"""


def write_page(summary: Summary) -> str:
    """Return the page."""
    parts = [
        INTRODUCTION,
        *_measured_on(summary),
        *_servers(summary),
        *_costs(summary),
        *_targets(summary),
        *_profile(),
        *_latencies(summary),
        *_memory(summary),
        *_reactions(summary),
        *_starts(summary),
        *_remarks(summary),
        DEFINITIONS,
        *_repeating(summary),
    ]
    return "\n".join(parts)


def _measured_on(summary: Summary) -> Iterator[str]:
    rounds = f"{summary.rounds} round{'s' if summary.rounds > 1 else ''}"
    yield f"Measured: {', '.join(summary.dates)}, {rounds}; {'; '.join(summary.system)}.\n"
    if len(summary.runs) > 1:
        yield f"The servers were **not all measured in one run**, but in {len(summary.runs)}.\n"


def _servers(summary: Summary) -> Iterator[str]:
    yield "## The servers\n"
    yield from table(["server", "what it is", "versions"])
    for server in summary.servers:
        yield row([server.name, server.what, server.versions or "**not measured**"])
    yield ""
    for server in summary.servers:
        if server.missing:
            yield f"{server.name} was not measured here: {escaped(server.missing)}\n"


def _costs(summary: Summary) -> Iterator[str]:
    yield "## CPU per token\n"
    yield "![CPU per token by the number of streams](performance.svg)\n"
    yield "In microseconds; behind it, how many times ours that is. Here and below, † marks"
    yield "what did not keep up, and whose other numbers mean less.\n"
    yield from _by_size(summary, lambda server, load: _cost(summary, server, load))
    yield ""


def _cost(summary: Summary, server: ServerFigures, load: LoadFigures) -> str:
    ours = summary.server(OURS)
    mine = ours.load(load.streams) if ours else None
    told = _told(load.cpu_us)
    if server.name != OURS and mine and mine.cpu_us and load.cpu_us:
        told += f"; {_told(load.cpu_us.over(mine.cpu_us))} times"
    return told


def _by_size(summary: Summary, cell: Callable[[ServerFigures, LoadFigures], str]) -> Iterator[str]:
    yield from table(["server", *(_streams(size) for size in summary.sizes)])
    for server in summary.servers:
        if server.loads:
            loads = [server.load(size) for size in summary.sizes]
            cells = [cell(server, load) + KEPT_UP[load.kept_up] if load else "" for load in loads]
            yield row([server.name, *cells])


def _streams(count: int) -> str:
    return f"{count} stream{'s' if count > 1 else ''}"


def _targets(summary: Summary) -> Iterator[str]:
    yield "## What was aimed at\n"
    yield from table(["", "at most", "measured", ""])
    for target in targets(summary):
        limit = f"{target.limit:g} {target.unit}".strip()
        yield row([target.what, limit, _measured(target), target.verdict])
    yield ""


def _measured(target: Target) -> str:
    if target.measured is None:
        return ""
    return f"{_told(target.measured)} {target.unit}".strip()


def _profile() -> Iterator[str]:
    if PROFILE.exists():
        yield f"## Where the time goes\n\n{PROFILE.read_text('utf-8')}"


def _latencies(summary: Summary) -> Iterator[str]:
    yield "## Added time to first token\n"
    yield "p50 / p99 in milliseconds.\n"
    yield from _by_size(summary, lambda _, load: _pair(load.ttft_p50_ms, load.ttft_p99_ms))
    yield "\n## Pauses between two pieces of text\n"
    yield "p50 / p99 in milliseconds; the model server makes a token in 20.\n"
    yield from _by_size(summary, lambda _, load: _pair(load.gap_p50_ms, load.gap_p99_ms))
    yield "\n## Whole answers, and how far behind their last token was\n"
    yield from _by_size(summary, _endings)
    yield ""


def _endings(_: ServerFigures, load: LoadFigures) -> str:
    return f"{load.whole} of {load.answers}, {_told(load.behind_p99_ms)} ms"


def _memory(summary: Summary) -> Iterator[str]:
    yield "## Memory per open stream\n"
    yield "RSS / PSS in KiB.\n"
    yield from _by_size(summary, lambda _, load: _pair(load.rss_kb, load.pss_kb))
    yield ""


def _reactions(summary: Summary) -> Iterator[str]:
    yield "## Cancel and supersede\n"
    yield "p50 / p99 in milliseconds.\n"
    yield from table(["server", "cancel, idle", "cancel, busy", "supersede"])
    for server in summary.servers:
        if server.cancel_idle_p50_ms or server.cancel_busy_p50_ms:
            idle = _pair(server.cancel_idle_p50_ms, server.cancel_idle_p99_ms)
            busy = _pair(server.cancel_busy_p50_ms, server.cancel_busy_p99_ms)
            superseding = _pair(server.supersede_p50_ms, server.supersede_p99_ms)
            yield row([server.name, idle, busy, superseding])
    yield ""
    for server in summary.servers:
        if server.busy_streams:
            yield f"Busy: {_streams(server.busy_streams)} are being read meanwhile.\n"
            break


def _starts(summary: Summary) -> Iterator[str]:
    yield "## Starting\n"
    yield from table(["server", "cold start to first answer, ms"])
    for server in summary.servers:
        if server.cold_start_ms:
            yield row([server.name, _told(server.cold_start_ms)])
    yield ""
    ours = summary.server(OURS)
    if ours and ours.import_ms and ours.bare_start_ms:
        yield f"Python that imports what `{OURS} serve` needs: {_told(ours.import_ms)} ms; Python"
        yield f"that imports nothing: {_told(ours.bare_start_ms)} ms.\n"


def _remarks(summary: Summary) -> Iterator[str]:
    told = [
        *(f"{_of(server)}{skipped}" for server in summary.servers for skipped in server.skipped),
        *(
            f"{_of(server)}{_streams(load.streams)}, {remark}"
            for server in summary.servers
            for load in server.loads
            for remark in load.remarks
        ),
        *(
            f"{_of(server)}{server.unclosed} departures were not noticed within 5 s"
            for server in summary.servers
            if server.unclosed
        ),
    ]
    yield "## What to know about these numbers\n"
    yield from (f"- {escaped(remark)}." for remark in told)
    yield "" if told else "The benchmark itself was in time, and nothing disturbed it.\n"


def _of(server: ServerFigures) -> str:
    return f"{server.name}, "


def _repeating(summary: Summary) -> Iterator[str]:
    yield "## How to repeat it\n"
    yield "`make bench` does all of it (nginx has to be there: Debian's `nginx-light`), and"
    yield "`.venv/bin/python -m tests.benchmarks.bench --help` tells how to do less. The servers'"
    yield "command lines, with the mock model server on port 9999:\n"
    yield "```text"
    for server in summary.servers:
        if server.command:
            yield f"{server.name}: {server.command}"
    yield "```\n"
    yield "The numbers, round by round, are in [performance.json](performance.json). They were"
    yield "computed from these files, which a run leaves in `.venv-peers/bench`:\n"
    yield f"{', '.join(f'`{file}`' for server in summary.servers for file in server.files)}.\n"


def _pair(one: Figure | None, other: Figure | None) -> str:
    return f"{_told(one)} / {_told(other)}" if one or other else ""


def _told(figure: Figure | None) -> str:
    if figure is None:
        return ""
    low, high = _number(figure.low), _number(figure.high)
    return _number(figure.median) + (f" ({low} to {high})" if low != high else "")


def _number(value: float) -> str:
    """Return it with as many places as mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{1 if abs(value) >= 10 else 2}f}"
