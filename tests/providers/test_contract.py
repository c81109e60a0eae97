"""What the engine may count on, whoever makes the tokens: one class of tests, every provider.

The HTTP providers speak to the mock upstream, which is written without our codecs, on real
sockets; then each of its faults is met through both of them.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from jarvis_trio.errors import (
    ModelNotFoundError,
    UpstreamBusyError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
)
from jarvis_trio.events import ChatRequest, Delta, Finish, Text, Usage
from jarvis_trio.providers.base import Provider
from jarvis_trio.providers.ollama import OllamaProvider
from jarvis_trio.providers.openai_compatible import OpenAICompatibleProvider
from jarvis_trio.providers.simulated import SimulatedOptions, SimulatedProvider, split_tokens
from jarvis_trio.providers.simulated_text import reply
from jarvis_trio.storm.sim import SimOptions, serve_sim
from tests.providers.raw_server import cancelled_after, sockets_to
from tests.scripted import Play, ScriptedAnswer, ScriptedProvider, ask

PROMPT_WORDS = 1


class Maker(Protocol):
    """A provider under test, and a view of it that is not its own."""

    provider: Provider
    first_model: str

    def asking(self, marker: str, *, model: str = "") -> ChatRequest:
        """Return a request for a short answer; ``model`` is how the answer shall go."""

    def text(self, request: ChatRequest) -> str:
        """Return what a whole answer to this says."""

    def endless(self, marker: str) -> ChatRequest:
        """Return a request whose answer has begun and does not end."""

    def never_accepted(self, marker: str) -> ChatRequest | None:
        """Return a request that is never accepted; None where there is no such thing."""

    async def has_arrived(self, marker: str) -> None:
        """Wait until the request is where it is never accepted."""

    def open_now(self) -> int:
        """Count what this side holds open."""

    async def has_closed(self, marker: str) -> None:
        """Wait until the other side knows that this answer has been left."""


class Scripted:
    """The fake that the engine's tests are built on."""

    first_model = "scripted-model"

    class _Provider(ScriptedProvider):
        """Plays by the request, not only by its prompt."""

        def chat(self, request: ChatRequest) -> ScriptedAnswer:
            return ScriptedAnswer(self, request.messages[-1].text, Scripted.play(request))

    def __init__(self) -> None:
        self._provider = Scripted._Provider(lambda _: Play())
        self.provider: Provider = self._provider

    @staticmethod
    def play(request: ChatRequest) -> Play:
        if request.model == "endless":
            return Play(Text("w0 "), trio.Event())
        if request.model == "never":
            return Play(before_accept=[trio.Event()])
        if request.model not in {None, "scripted-model"}:
            return Play(before_accept=[ModelNotFoundError("no such model", param="model")])
        tokens = [f"w{index} " for index in range(5)]
        limit = request.max_tokens if request.max_tokens is not None else len(tokens)
        finish = Finish("length" if limit < len(tokens) else "stop")
        texts: list[Delta] = [Text(token) for token in tokens[:limit]]
        return Play(*texts, [finish, Usage(PROMPT_WORDS, len(texts))])

    def asking(self, marker: str, *, model: str = "") -> ChatRequest:
        return ask(marker, model=model or self.first_model)

    def text(self, request: ChatRequest) -> str:
        return "w0 w1 w2 w3 w4 "

    def endless(self, marker: str) -> ChatRequest:
        return ask(marker, model="endless")

    def never_accepted(self, marker: str) -> ChatRequest | None:
        return ask(marker, model="never")

    async def has_arrived(self, marker: str) -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert ("open", marker) in self._provider.history

    def open_now(self) -> int:
        return self._provider.open

    async def has_closed(self, marker: str) -> None:
        await trio.lowlevel.checkpoint()
        assert ("closed", marker) in self._provider.history


class Simulated:
    """The built-in model: nothing to open, nothing to close."""

    first_model = "jarvis-simulated"

    def __init__(self) -> None:
        options = SimulatedOptions(tokens_per_second=0, first_token_ms=0, length=None)
        self.provider: Provider = SimulatedProvider(options)

    def asking(self, marker: str, *, model: str = "") -> ChatRequest:
        return ask(marker, model=model or self.first_model)

    def text(self, request: ChatRequest) -> str:
        return reply(request.messages)

    def endless(self, marker: str) -> ChatRequest:
        return ask(f"Write 200 paragraphs about {marker}", model=self.first_model)

    def never_accepted(self, marker: str) -> ChatRequest | None:
        return None

    async def has_arrived(self, marker: str) -> None:
        raise NotImplementedError

    def open_now(self) -> int:
        return 0

    async def has_closed(self, marker: str) -> None:
        await trio.lowlevel.checkpoint()


class OverTheSim:
    """An HTTP provider in front of the mock upstream."""

    first_model = "sim"

    def __init__(self, port: int, provider: Provider) -> None:
        self.port = port
        self.provider = provider

    def asking(self, marker: str, *, model: str = "") -> ChatRequest:
        return ask(f"marker:{marker}", model=model or self.first_model)

    def text(self, request: ChatRequest) -> str:
        return "w0 w1 w2 w3 w4 "

    def endless(self, marker: str) -> ChatRequest:
        return self.asking(marker, model="sim-stall?at=2")

    def never_accepted(self, marker: str) -> ChatRequest | None:
        return self.asking(marker, model="sim-hang")

    async def has_arrived(self, marker: str) -> None:
        await self.look(f"/sim/wait?marker={marker}&kind=arrival")

    def open_now(self) -> int:
        return sockets_to(self.port)

    async def has_closed(self, marker: str) -> None:
        event = await self.look(f"/sim/wait?marker={marker}&kind=closed")
        assert event["kind"] == "closed"

    async def look(self, path: str) -> Any:
        """Ask the sim, by other means than those under test."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            head = f"GET {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode())
            told = b"".join([data async for data in stream])
        return json.loads(told.partition(b"\r\n\r\n")[2])


async def make(kind: str, nursery: trio.Nursery) -> Maker:
    if kind == "scripted":
        return Scripted()
    if kind == "simulated":
        return Simulated()
    return await over_the_sim(kind, nursery)


async def over_the_sim(kind: str, nursery: trio.Nursery) -> OverTheSim:
    options = SimOptions(tokens_per_second=0, tokens=5)
    port = await nursery.start(serve_sim, options, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}"
    if kind == "ollama":
        return OverTheSim(port, OllamaProvider(url, "key-of-ollama", 5))
    return OverTheSim(port, OpenAICompatibleProvider(f"{url}/v1", "key-of-openai", 5))


@pytest.fixture(params=["scripted", "simulated", "ollama", "openai"])
async def maker(request: pytest.FixtureRequest, nursery: trio.Nursery) -> Maker:
    return await make(request.param, nursery)


@pytest.fixture(params=["ollama", "openai"])
async def http(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[OverTheSim]:
    made = await over_the_sim(request.param, nursery)
    yield made
    assert made.open_now() == 0


async def collect(provider: Provider, request: ChatRequest, into: list[Delta]) -> None:
    async with provider.chat(request) as answer:
        while deltas := await answer.receive():
            into += deltas


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


def finishes(deltas: list[Delta]) -> list[str]:
    return [delta.reason for delta in deltas if isinstance(delta, Finish)]


class TestEveryProvider:
    """The contract."""

    async def test_the_deltas_make_the_text_and_one_finish(self, maker: Maker) -> None:
        deltas: list[Delta] = []
        request = maker.asking("one")
        with trio.fail_after(10):
            await collect(maker.provider, request, deltas)
        assert text_of(deltas) == maker.text(request)
        assert finishes(deltas) == ["stop"]

    async def test_no_text_comes_after_the_finish(self, maker: Maker) -> None:
        deltas: list[Delta] = []
        with trio.fail_after(10):
            await collect(maker.provider, maker.asking("one"), deltas)
        at = deltas.index(Finish("stop"))
        assert all(isinstance(delta, Usage) for delta in deltas[at + 1 :])

    async def test_after_the_end_there_is_nothing_for_ever(self, maker: Maker) -> None:
        with trio.fail_after(10):
            async with maker.provider.chat(maker.asking("one")) as answer:
                while await answer.receive():
                    pass
                assert [await answer.receive() for _ in range(5)] == [[]] * 5

    async def test_tokens_are_counted(self, maker: Maker) -> None:
        deltas: list[Delta] = []
        request = maker.asking("one")
        with trio.fail_after(10):
            await collect(maker.provider, request, deltas)
        tokens = len(split_tokens(maker.text(request)))
        usages = [delta for delta in deltas if isinstance(delta, Usage)]
        assert usages == [Usage(PROMPT_WORDS, tokens)]

    @pytest.mark.parametrize("limit", [1, 3])
    async def test_a_limit_of_tokens_is_kept_and_told(self, maker: Maker, limit: int) -> None:
        deltas: list[Delta] = []
        request = replace(maker.asking("one"), max_tokens=limit)
        with trio.fail_after(10):
            await collect(maker.provider, request, deltas)
        assert text_of(deltas) == "".join(split_tokens(maker.text(request))[:limit])
        assert finishes(deltas) == ["length"]

    async def test_an_unknown_model_is_refused_on_entering(self, maker: Maker) -> None:
        entered = False
        with trio.fail_after(10), pytest.raises(ModelNotFoundError) as caught:
            async with maker.provider.chat(maker.asking("one", model="no-such-model")):
                entered = True
        assert not entered
        assert caught.value.param == "model"
        assert maker.open_now() == 0

    async def test_a_request_without_a_model_is_answered(self, maker: Maker) -> None:
        deltas: list[Delta] = []
        request = replace(maker.asking("one"), model=None)
        with trio.fail_after(10):
            await collect(maker.provider, request, deltas)
        assert text_of(deltas) == maker.text(request)

    async def test_models_are_listed_the_default_first(self, maker: Maker) -> None:
        with trio.fail_after(10):
            models = await maker.provider.models()
        assert models[0].id == maker.first_model
        assert maker.provider.default_model == maker.first_model
        assert maker.open_now() == 0

    async def test_its_name_is_for_people_and_holds_no_key(self, maker: Maker) -> None:
        assert maker.provider.name
        assert "key-of" not in maker.provider.name

    async def test_entering_waits_until_the_request_is_accepted(self, maker: Maker) -> None:
        request = maker.never_accepted("late")
        if request is None:
            pytest.skip("nothing to see: the built-in model accepts at once")
        entered = False

        async def enter() -> None:
            nonlocal entered
            async with maker.provider.chat(request):
                entered = True

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(enter)
                await maker.has_arrived("late")
                await trio.testing.wait_all_tasks_blocked()
                assert not entered
                assert maker.open_now() == 1
                nursery.cancel_scope.cancel(reason="test")
            assert maker.open_now() == 0
            await maker.has_closed("late")

    async def test_leaving_early_closes_at_once_and_awaits_nothing(self, maker: Maker) -> None:
        with trio.fail_after(10):
            chat = maker.provider.chat(maker.endless("early"))
            answer = await chat.__aenter__()
            assert await answer.receive()
            with trio.testing.assert_no_checkpoints():
                await chat.__aexit__(None, None, None)
            assert maker.open_now() == 0
            await maker.has_closed("early")

    async def test_leaving_by_an_error_closes_and_lets_it_through(self, maker: Maker) -> None:
        with trio.fail_after(10):
            with pytest.raises(ZeroDivisionError):
                async with maker.provider.chat(maker.endless("error")):
                    raise ZeroDivisionError
            assert maker.open_now() == 0
            await maker.has_closed("error")

    async def test_a_cancel_in_any_await_closes(self, maker: Maker) -> None:
        steps = 0
        ended = False
        while not ended:
            steps += 1
            deltas: list[Delta] = []
            with trio.fail_after(10), cancelled_after(steps):
                await collect(maker.provider, maker.asking(f"step-{steps}"), deltas)
                ended = True
            assert maker.open_now() == 0
        assert finishes(deltas) == ["stop"]
        assert steps > 1  # more, the less of the answer is there when it is first looked for

    async def test_a_cancel_while_waiting_for_a_token_closes(self, maker: Maker) -> None:
        async def read() -> None:
            async with maker.provider.chat(maker.endless("waiting")) as answer:
                while await answer.receive():
                    waiting.set()
                    await trio.lowlevel.checkpoint()

        waiting = trio.Event()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await waiting.wait()
                nursery.cancel_scope.cancel(reason="test")
            assert maker.open_now() == 0
            await maker.has_closed("waiting")

    async def test_two_answers_at_once_do_not_touch(self, maker: Maker) -> None:
        requests = [maker.asking("one"), replace(maker.asking("two"), max_tokens=2)]
        answers: list[list[Delta]] = [[], []]
        with trio.fail_after(10):
            async with (
                maker.provider.chat(requests[0]) as first,
                maker.provider.chat(requests[1]) as second,
            ):
                open_answers = {0: first, 1: second}
                while open_answers:
                    for index, answer in list(open_answers.items()):
                        deltas = await answer.receive()
                        answers[index] += deltas
                        if not deltas:
                            del open_answers[index]
        whole = maker.text(requests[0])
        assert text_of(answers[0]) == whole
        assert text_of(answers[1]) == "".join(split_tokens(maker.text(requests[1]))[:2])
        assert [finishes(answer) for answer in answers] == [["stop"], ["length"]]

    async def test_one_answers_cancel_leaves_the_other_as_it_is(self, maker: Maker) -> None:
        request = maker.asking("kept")
        deltas: list[Delta] = []
        with trio.fail_after(10):
            async with maker.provider.chat(request) as kept:
                with trio.CancelScope() as scope:
                    async with maker.provider.chat(maker.endless("left")):
                        scope.cancel(reason="test")
                        await trio.lowlevel.checkpoint()
                while got := await kept.receive():
                    deltas += got
            await maker.has_closed("left")
        assert text_of(deltas) == maker.text(request)


Failing = tuple[list[Delta], UpstreamError | None]


async def outcome(provider: Provider, request: ChatRequest) -> Failing:
    """Return all deltas and the error behind them; any other kind of error comes through."""
    deltas: list[Delta] = []
    try:
        await collect(provider, request, deltas)
    except UpstreamError as error:
        return deltas, error
    return deltas, None


class TestTheMockUpstreamsFaults:
    """What a model server may do to us."""

    @pytest.mark.parametrize("model", ["sim-hang", "sim-silent", "sim-stall?at=2"])
    async def test_silence_is_left_by_a_cancel(self, http: OverTheSim, model: str) -> None:
        async def read() -> None:
            await collect(http.provider, http.asking("quiet", model=model), deltas)

        deltas: list[Delta] = []
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await http.has_arrived("quiet")
                await trio.testing.wait_all_tasks_blocked()
                assert http.open_now() == 1
                nursery.cancel_scope.cancel(reason="test")
            assert http.open_now() == 0
            await http.has_closed("quiet")
        assert text_of(deltas) == ("w0 w1 " if "stall" in model else "")

    async def test_an_answer_that_dies_at_any_byte_is_an_error_or_whole(
        self, http: OverTheSim
    ) -> None:
        ends: dict[int, Failing] = {}

        async def die(at: int) -> None:
            request = http.asking(f"die-{at}", model=f"sim-die?at={at}&tokens=2")
            ends[at] = await outcome(http.provider, request)

        bytes_tried = 0
        with trio.fail_after(40):
            while bytes_tried < 4000 and not all(
                ends.get(at, ([], UpstreamError("")))[1] is None
                for at in range(bytes_tried - 16, bytes_tried)
            ):
                async with trio.open_nursery() as nursery:
                    for at in range(bytes_tried, bytes_tried + 16):
                        nursery.start_soon(die, at)
                bytes_tried += 16
                assert http.open_now() == 0
        for at, (deltas, error) in ends.items():
            assert "w0 w1 ".startswith(text_of(deltas)), at
            if error is None:
                assert (text_of(deltas), finishes(deltas)) == ("w0 w1 ", ["stop"]), at
            else:
                assert error.code == "upstream_eof", at
        # The last ones lived to their end; nobody claims so before most of the bytes had come.
        assert bytes_tried < 4000
        assert min(at for at, (_, error) in ends.items() if error is None) > 200

    @pytest.mark.parametrize(
        ("model", "kind"),
        [
            ("sim-eof?at=2", UpstreamEOFError),
            ("sim-eof?at=0", UpstreamEOFError),
            ("sim-truncate?at=2", UpstreamEOFError),
            ("sim-error?at=2", UpstreamError),
            ("sim-error?at=0", UpstreamError),
            ("sim-garbage?at=2", UpstreamError),
            ("sim-garbage?at=0", UpstreamError),
        ],
    )
    async def test_a_fault_is_our_error_behind_what_came_before(
        self, http: OverTheSim, model: str, kind: type[UpstreamError]
    ) -> None:
        with trio.fail_after(10):
            deltas, error = await outcome(http.provider, http.asking("fault", model=model))
        assert text_of(deltas) == ("w0 w1 " if model.endswith("2") else "")
        assert finishes(deltas) == []
        assert type(error) is kind
        assert error.message.startswith(http.provider.name)

    async def test_an_error_in_mid_answer_is_told_to_clients_and_not_to_logs(
        self, http: OverTheSim
    ) -> None:
        with trio.fail_after(10):
            _, error = await outcome(http.provider, http.asking("e", model="sim-error"))
        assert error is not None
        assert "has failed, as asked" in error.message
        assert "has failed, as asked" not in error.summary

    @pytest.mark.parametrize(
        ("status", "kind", "retry_after"),
        [
            (400, UpstreamRejectedError, None),
            (401, UpstreamError, None),
            (404, UpstreamError, None),
            (429, UpstreamRateLimitError, 1.0),
            (500, UpstreamError, None),
            (503, UpstreamBusyError, 1.0),
        ],
    )
    async def test_a_refusal_comes_on_entering(
        self, http: OverTheSim, status: int, kind: type[UpstreamError], retry_after: float | None
    ) -> None:
        request = http.asking("no", model=f"sim-refuse?status={status}")
        with trio.fail_after(10), pytest.raises(UpstreamError) as caught:
            await http.provider.chat(request).__aenter__()
        assert type(caught.value) is kind
        assert caught.value.retry_after == retry_after

    async def test_a_line_without_end_is_refused_long_before_it_ends(
        self, http: OverTheSim
    ) -> None:
        request = http.asking("long", model="sim-endless-line?at=2")
        with trio.fail_after(20):
            deltas, error = await outcome(http.provider, request)
            # Closed by us: the sim alone would have sent all of its 64 MB, and called it a fault.
            await http.has_closed("long")
        assert text_of(deltas) == "w0 w1 "
        assert type(error) is UpstreamError
        assert "longer than" in error.message or "larger than" in error.message

    async def test_a_storm_of_cancels_leaves_the_upstream_idle(self, http: OverTheSim) -> None:
        async def run(index: int) -> None:
            with cancelled_after(1 + index % 23):
                request = http.asking(f"storm-{index}", model="sim?tokens=50&tps=1000")
                await collect(http.provider, request, [])

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for index in range(200):
                    nursery.start_soon(run, index)
            assert http.open_now() == 0
            deltas, error = await outcome(http.provider, http.asking("after"))
            assert (text_of(deltas), error) == ("w0 w1 w2 w3 w4 ", None)
            while (await http.look("/sim/stats"))["open"]:
                pass
