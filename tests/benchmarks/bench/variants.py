"""The page's sections on ours in other ways: as two processes, and with every event in the log."""

from collections.abc import Iterator

from tests.benchmarks.bench.figure import Figure
from tests.benchmarks.bench.figures import EventFigures, LoadFigures, ServerFigures, Summary
from tests.benchmarks.bench.tables import KEPT_UP, pair, streams, told
from tests.benchmarks.markdown import row, table
from tests.benchmarks.peer import OURS
from tests.benchmarks.servers import OURS_TWICE, OURS_WITH_DEBUG

SHARED_PORT = """\
`--reuse-port` (SO_REUSEPORT): the kernel deals new connections out to the processes, and each has
sessions of its own. Cores used are those of the whole run, the first and the last second included,
where fewer streams are open. **All of this is one machine**: the benchmark's client and its model
server take their cores, the last two columns, from the same ones. On two cores a second process
can have what these two and the first one leave, and no more; what it does with a core to itself
is not measured here. TTFT and behind are p50 / p99 and p99, in milliseconds.
"""


def several_processes(summary: Summary) -> Iterator[str]:
    """Tell what two processes on one port do, beside one, with the cores that everybody used."""
    twice = summary.server(OURS_TWICE.name)
    if twice is None or not twice.loads:
        return
    yield f"## Two processes on one port\n\n{SHARED_PORT}"
    heads = ["", "server", "tokens/s", "added TTFT", "behind", "µs per token"]
    yield from table([*heads, "cores: its processes", "client", "model server"])
    for load in twice.loads:
        for server in (summary.server(OURS), twice):
            if server and (measured := server.load(load.streams)):
                yield row([streams(load.streams), server.name, *_scaled(measured)])
    yield ""


def _scaled(load: LoadFigures) -> list[str]:
    return [
        told(load.tokens_per_second) + KEPT_UP[load.kept_up],
        pair(load.ttft_p50_ms, load.ttft_p99_ms),
        told(load.behind_p99_ms),
        told(load.cpu_us),
        " + ".join(map(told, load.process_cores)),
        told(load.client_cores),
        told(load.upstream_cores),
    ]


def unwanted_events(summary: Summary) -> Iterator[str]:
    """Tell what debug events and subscribers cost where nobody wants them, and where one does."""
    ours, debug = summary.server(OURS), summary.server(OURS_WITH_DEBUG.name)
    if ours is None or ours.events is None:
        return
    yield "## What events cost that nobody wants\n"
    yield (
        f"An answer in {told(ours.events.frames)} frames has {told(ours.events.events)} debug "
        f"events. At the level `info`, the default, the call for one takes "
        f"{told(ours.events.debug_call_ns)} ns, and a look for a subscriber, once a frame, "
        f"{told(ours.events.absent_subscriber_ns)} ns where there is none."
    )
    for load in debug.loads if debug else []:
        yield from _beside(ours, ours.events, load)
    yield ""


def _beside(ours: ServerFigures, events: EventFigures, debug: LoadFigures) -> Iterator[str]:
    plain = ours.load(debug.streams)
    if plain is None or plain.read_us is None:
        return
    yield (
        f"With {streams(debug.streams)} a frame, as the client reads it, takes "
        f"{told(plain.read_us)} µs of CPU: {told(_percent(events, plain.read_us))} % of that is "
        "for events that nobody wants."
    )
    if plain.cpu_us and debug.cpu_us:
        yield (
            "With `JARVIS_LOG_LEVEL=debug` all of them are written, to a file: then a token takes "
            f"{told(debug.cpu_us)} µs, {told(debug.cpu_us.over(plain.cpu_us))} times what it takes "
            "without."
        )


def _percent(events: EventFigures, read_us: Figure) -> Figure | None:
    """Return what part of a frame's CPU all that is unwanted takes, round by round."""
    shares = {}
    for number, frame_us in read_us.rounds.items():
        if number in events.events.rounds:
            calls = events.events.rounds[number] / events.frames.rounds[number]
            unwanted_ns = calls * events.debug_call_ns.rounds[number]
            unwanted_ns += events.absent_subscriber_ns.rounds[number]
            shares[number] = unwanted_ns / 10 / frame_us
    return Figure(shares) if shares else None
