"""The official client, sync and async: what it sees, what it raises, what it sends again."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.end_to_end.processes import Server, Sim, running_server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="devkey", timeout=20) as client:
        yield client


WORDS = "".join(f"w{number} " for number in range(60))


def ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_streaming_with_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="sim",
        messages=ask("marker:openai"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == WORDS
    assert len({chunk.id for chunk in chunks}) == 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 60
    assert chunks[-1].usage.total_tokens == 60 + chunks[-1].usage.prompt_tokens


def test_not_streaming(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="sim", messages=ask("hello"), max_tokens=5, temperature=0.1, seed=1
    )
    assert answer.choices[0].message.content == "w0 w1 w2 w3 w4 "
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_async_streaming_and_not(server: Server) -> None:
    async def talk() -> None:
        url = f"{server.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="devkey", timeout=20) as client:
            stream = await client.chat.completions.create(
                model="sim", messages=ask("hello"), stream=True
            )
            pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
            assert "".join(pieces) == WORDS
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(model="sim", messages=ask("x"), max_tokens=3)
                    for _ in range(10)
                )
            )
            assert {a.choices[0].message.content for a in answers} == {"w0 w1 w2 "}

    asyncio.run(talk())


def test_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "sim" in names
    assert client.models.retrieve("sim").id == "sim"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-nonesuch")


def test_errors_are_the_clients_own(client: openai.OpenAI, server: Server) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-nonesuch", messages=ask("x"), stream=True)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="sim", messages=ask("x"), n=2)
    assert bad.value.param == "n"
    stranger = client.with_options(api_key="wrong")
    with pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="sim", messages=[])


@pytest.mark.parametrize("fault", ["sim-error?at=5", "sim-eof?at=5", "sim-die?at=400"])
def test_an_upstream_that_fails_in_the_middle_raises(client: openai.OpenAI, fault: str) -> None:
    """Never a clean end: the text so far, then an error."""
    stream = client.chat.completions.create(model=fault, messages=ask("x"), stream=True)
    text = ""
    with pytest.raises(openai.APIError) as failed:
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert WORDS.startswith(text)
    assert failed.value.code in ("upstream_error", "upstream_eof")
    with pytest.raises(openai.InternalServerError) as whole:
        client.with_options(max_retries=0).chat.completions.create(model=fault, messages=ask("x"))
    assert whole.value.status_code == 502


def test_a_superseded_stream_raises_after_its_text(client: openai.OpenAI) -> None:
    session = {"X-Session-Id": "openai-superseded"}
    first = client.chat.completions.create(
        model="sim?tokens=2000", messages=ask("x"), stream=True, extra_headers=session
    )
    assert next(c for c in first if c.choices[0].delta.content)
    second = client.chat.completions.create(
        model="sim", messages=ask("y"), max_tokens=2, extra_headers=session
    )
    assert second.choices[0].message.content == "w0 w1 "
    with pytest.raises(openai.APIError) as ended:
        list(first)
    assert ended.value.code == "superseded"


def test_a_superseded_whole_answer_is_not_asked_again(client: openai.OpenAI, sim: Sim) -> None:
    """The 409 rule: a client that retried would supersede its successor in turn."""
    session = {"X-Session-Id": "openai-409"}
    raised: list[Exception] = []

    def ask_the_first() -> None:
        try:
            client.chat.completions.create(
                model="sim?tokens=5000", messages=ask("marker:first"), extra_headers=session
            )
        except openai.OpenAIError as error:
            raised.append(error)

    thread = threading.Thread(target=ask_the_first)
    thread.start()
    sim.get("wait?marker=first&kind=arrival")
    second = client.chat.completions.create(
        model="sim", messages=ask("marker:second"), max_tokens=2, extra_headers=session
    )
    thread.join(20)
    assert second.choices[0].message.content == "w0 w1 "
    assert isinstance(raised[0], openai.ConflictError)
    assert raised[0].code == "superseded"
    arrivals = [e["marker"] for e in sim.get("events")["events"] if e["kind"] == "arrival"]
    assert arrivals == ["first", "second"]


def test_a_rejected_prompt_is_sent_once(client: openai.OpenAI) -> None:
    requests: list[object] = []
    session = {"X-Session-Id": "openai-rejected", "X-Session-Policy": "reject"}
    counting = openai.DefaultHttpxClient(event_hooks={"request": [requests.append]})
    with (
        counting,
        client.chat.completions.create(
            model="sim?tokens=2000", messages=ask("x"), stream=True, extra_headers=session
        ) as live,
    ):
        assert next(c for c in live if c.choices[0].delta.content)
        with pytest.raises(openai.ConflictError) as rejected:
            client.with_options(http_client=counting).chat.completions.create(
                model="sim", messages=ask("y"), extra_headers=session
            )
        assert rejected.value.code == "session_busy"
        assert len(requests) == 1
        assert next(c for c in live if c.choices[0].delta.content)


def test_an_overloaded_server_is_tried_again_later(
    tmp_path_factory: pytest.TempPathFactory, sim: Sim
) -> None:
    path = tmp_path_factory.mktemp("overloaded")
    with (
        running_server(path, sim.upstream("openai"), max_streams="1") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="devkey", timeout=20) as client,
    ):
        stream = client.chat.completions.create(
            model="sim?tokens=5000", messages=ask("x"), stream=True
        )
        assert next(iter(stream))
        with pytest.raises(openai.InternalServerError) as refused:
            client.with_options(max_retries=0).chat.completions.create(
                model="sim", messages=ask("y")
            )
        assert refused.value.status_code == 503
        assert refused.value.response.headers["retry-after"] == "1"
        # The default client waits as told and gets its answer: what was in the way has ended.
        statuses: list[int] = []

        def note(response: Any) -> None:
            statuses.append(response.status_code)
            stream.close()

        with openai.DefaultHttpxClient(event_hooks={"response": [note]}) as noting:
            later = client.with_options(http_client=noting).chat.completions.create(
                model="sim", messages=ask("y"), max_tokens=1
            )
        assert later.choices[0].message.content == "w0 "
        assert (statuses[0], statuses[-1]) == (503, 200)
