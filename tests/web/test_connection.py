"""A request's messages, and what it costs: tasks, rounds of the loop, memory."""

import gc
from collections import Counter

import trio
from quart.ctx import AppContext, RequestContext
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.config import LINGER_WHILE_DRAINING_SECONDS, WRITE_SLICE_BYTES
from jarvis_trio.web.connection import DRAIN
from tests.scripted import words
from tests.web.server import by_prompt, refusal, serving, stuck_in

PAUSES_BEHIND_THE_LAST_MESSAGE = 5
"""Those of Hypercorn's own code, as :mod:`asgi_client` plays it; a message is one itself."""


class Cost(trio.abc.Instrument):
    """Counts the tasks of requests and their steps, by the name of what they run."""

    def __init__(self) -> None:
        self.tasks: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if "Exchange" not in task.name:
            self.tasks[task.name.rpartition(".")[2]] += 1

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps[task.name.rpartition(".")[2]] += 1


def contexts() -> int:
    gc.collect()
    return sum(isinstance(one, AppContext | RequestContext) for one in gc.get_objects())


async def test_a_request_has_one_task_beside_its_own_and_waits_only_for_its_client(
    autojump_clock: MockClock,
) -> None:
    async with serving() as server:
        cost = Cost()
        trio.lowlevel.add_instrument(cost)
        async with server.request("GET", "/healthz", body=()) as exchange:
            await exchange.read()
        trio.lowlevel.remove_instrument(cost)
    assert cost.tasks == {"handle_request": 1}
    head, body, end = 1, 1, 1 + PAUSES_BEHIND_THE_LAST_MESSAGE
    assert cost.steps["handle_request"] == 1 + head + body + end


async def test_a_stream_keeps_none_of_its_request_s_contexts(autojump_clock: MockClock) -> None:
    script = by_prompt(hello=words("a"), stuck=stuck_in("decode"))
    async with serving(script) as server:
        async with server.chat("hello") as exchange:
            await exchange.read()
        at_rest = contexts()
        async with server.chat("stuck") as exchange:
            assert await exchange.status() == 200
            await wait_all_tasks_blocked()
            assert contexts() == at_rest


async def test_who_is_still_sending_when_the_server_drains_is_told_why_it_is_refused(
    autojump_clock: MockClock,
) -> None:
    async with serving() as server, server.chat(body=b"{", finishes=False) as exchange:
        await wait_all_tasks_blocked()
        server.app.extensions[DRAIN].begin()
        with trio.fail_after(LINGER_WHILE_DRAINING_SECONDS + 0.1):
            assert await exchange.status() == 503
            assert (await refusal(exchange))["code"] == "server_shutdown"


async def test_a_long_answer_in_one_piece_goes_in_slices_too(autojump_clock: MockClock) -> None:
    async with (
        serving(lambda _: words("a" * 3 * WRITE_SLICE_BYTES)) as server,
        server.chat(stream=False) as exchange,
    ):
        pieces = []
        while piece := await exchange.receive():
            pieces.append(len(piece))
    assert pieces[:-1] == [WRITE_SLICE_BYTES] * 3


async def test_an_address_that_cannot_be_read_is_400_at_once(autojump_clock: MockClock) -> None:
    async with (
        serving() as server,
        server.request("GET", "http://[", body=b"{", finishes=False) as exchange,
    ):
        with trio.fail_after(0.1):  # nobody reads the rest of it
            assert await exchange.status() == 400
            assert "address" in (await refusal(exchange))["message"]
