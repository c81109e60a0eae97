"""docs/performance.md, made from what a run has kept: nothing in it that was not measured."""

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.bench.figures import LoadFigures, ServerFigures, Summary
from tests.benchmarks.bench.tables import KEPT_UP, by_size, pair, streams, told
from tests.benchmarks.bench.targets import Target, targets
from tests.benchmarks.bench.variants import several_processes, unwanted_events
from tests.benchmarks.markdown import escaped, row, table
from tests.benchmarks.peer import OURS

PROFILE = Path(__file__).with_name("profile.md")
"""Where the time goes, found with a profiler; its text is part of the page when it is there."""

INTRODUCTION = """\
# What it costs, beside others

`make bench` installs each server below in an environment of its own, puts it before the same mock
model server, lets the same client read from it, and writes this page. Each measurement has freshly
started processes and is made of all servers in turn, then the next, and all of it again in the next
round, with the servers in reverse. No number here was written by hand, but for those of "Where the
time goes", and nothing is told that was not measured.

Every stream has 50 tokens per second, each a write of the model server's own of about 250 bytes;
the streams begin within a second. A number is the median of the rounds, with the least and the most
of them in brackets. A gateway that costs little may do little: nginx here passes bytes on and knows
nothing of prompts, sessions, or a model server's errors.
"""

STATED = """\
Each server is one process, but for nginx (2 workers) and where two are named. Each logs as it does
unless told otherwise, to a file: a few lines per request at most, none per token. nginx's access
log is off.
"""

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
- Memory per stream: what the tree of processes has in the middle of the run, less what it had when
  it was idle and had answered a few prompts, by the streams that are open in between. A server that
  has had as many streams before hardly grows: freed memory is used again, and not given back. RSS
  counts a page once per process, PSS a shared page once.
- Cancel: from the client's close() to the model server's seeing its own connection closed.
- Supersede: from a new prompt in a session whose last one is being answered to its first text, less
  the model server's own TTFT. Not superseding: the same of the first prompt of a session. They are
  asked in turn, of a server that does nothing else. "Later" is the difference of the percentiles of
  the two, with the model server's own TTFT in both.
  The p99 of these, and of cancelling, is of few, at most a hundred in a round: the slowest or next.
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
        *several_processes(summary),
        *_memory(summary),
        *_reactions(summary),
        *_starts(summary),
        *unwanted_events(summary),
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
    yield from by_size(summary, lambda server, load: _cost(summary, server, load))
    yield ""


def _cost(summary: Summary, server: ServerFigures, load: LoadFigures) -> str:
    ours = summary.server(OURS)
    mine = ours.load(load.streams) if ours else None
    cost = told(load.cpu_us)
    if server.name != OURS and mine and mine.cpu_us and load.cpu_us:
        cost += f"; {told(load.cpu_us.over(mine.cpu_us))} times"
    return cost


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
    return f"{told(target.measured)} {target.unit}".strip() + KEPT_UP[target.kept_up]


def _profile() -> Iterator[str]:
    if PROFILE.exists():
        yield f"## Where the time goes\n\n{PROFILE.read_text('utf-8')}"


def _latencies(summary: Summary) -> Iterator[str]:
    yield "## Added time to first token\n"
    yield "p50 / p99 in milliseconds.\n"
    yield from by_size(summary, lambda _, load: pair(load.ttft_p50_ms, load.ttft_p99_ms))
    yield "\n## Pauses between two pieces of text\n"
    yield "p50 / p99 in milliseconds; the model server makes a token in 20.\n"
    yield from by_size(summary, lambda _, load: pair(load.gap_p50_ms, load.gap_p99_ms))
    yield "\n## Whole answers, and how far behind their last token was\n"
    yield from by_size(summary, _endings)
    yield ""


def _endings(_: ServerFigures, load: LoadFigures) -> str:
    return f"{load.whole} of {load.answers}, {told(load.behind_p99_ms)} ms"


def _memory(summary: Summary) -> Iterator[str]:
    yield "## Memory per open stream\n"
    yield "RSS / PSS in KiB.\n"
    yield from by_size(summary, lambda _, load: pair(load.rss_kb, load.pss_kb))
    yield ""


def _reactions(summary: Summary) -> Iterator[str]:
    yield "## Cancel and supersede\n"
    yield "p50 / p99 in milliseconds.\n"
    yield from table(["server", "cancel, idle", "cancel, busy", "supersede", "not superseding"])
    for server in summary.servers:
        if server.cancel_idle_p50_ms or server.cancel_busy_p50_ms:
            idle = pair(server.cancel_idle_p50_ms, server.cancel_idle_p99_ms)
            busy = pair(server.cancel_busy_p50_ms, server.cancel_busy_p99_ms)
            superseding = pair(server.supersede_p50_ms, server.supersede_p99_ms)
            fresh = pair(server.fresh_p50_ms, server.fresh_p99_ms)
            yield row([server.name, idle, busy, superseding, fresh])
    yield ""
    for server in summary.servers:
        if server.busy_streams:
            yield f"Busy: {streams(server.busy_streams)} are being read meanwhile.\n"
            break


def _starts(summary: Summary) -> Iterator[str]:
    yield "## Starting\n"
    yield from table(["server", "cold start to first answer, ms"])
    for server in summary.servers:
        if server.cold_start_ms:
            yield row([server.name, told(server.cold_start_ms)])
    yield ""
    ours = summary.server(OURS)
    if ours and ours.import_ms and ours.bare_start_ms:
        yield f"Python that imports what `{OURS} serve` needs: {told(ours.import_ms)} ms; Python"
        yield f"that imports nothing: {told(ours.bare_start_ms)} ms.\n"


def _remarks(summary: Summary) -> Iterator[str]:
    known = [
        *(f"{_of(server)}{skipped}" for server in summary.servers for skipped in server.skipped),
        *(
            f"{_of(server)}{streams(load.streams)}, {remark}"
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
    yield from (f"- {escaped(remark)}." for remark in known)
    yield "" if known else "Nothing was left out, and nothing disturbed the rest.\n"
    yield STATED
    yield "How late the benchmark's own processes were, p99 in milliseconds: the client, when it"
    yield "asked or read / the model server. The times of the servers have it in them.\n"
    yield from by_size(summary, lambda _, load: pair(load.client_late_ms, load.upstream_late_ms))
    yield ""


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
