"""Retry and Edit: a prompt that takes the place of an earlier turn, and of all behind it."""

import json
from typing import Any

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.errors import UpstreamRejectedError
from tests.scripted import Play, words
from tests.web.server import Server, by_prompt, refusal, serving, stuck_in, text_of
from tests.web.test_sessions import SESSIONS, got


def body(prompt: str, replaces: str | None, **options: Any) -> bytes:
    return json.dumps({"prompt": prompt, "stream": True, "replaces": replaces, **options}).encode()


async def say(server: Server, prompt: str, replaces: str | None = None) -> str:
    """Have a whole turn in the one session; return its stream's id."""
    async with server.chat(body=body(prompt, replaces), session="s") as exchange:
        assert await exchange.status() == 200
        text_of(await exchange.read())
        return exchange.headers["x-stream-id"]


async def kept(server: Server) -> list[str]:
    page = await got(server, f"{SESSIONS}/s/messages")
    return [message["content"] for message in page["data"]]


def asked(server: Server) -> list[str]:
    """Return what the model was told last."""
    return [message.text for message in server.provider.requests[-1].messages]


async def test_a_prompt_that_replaces_a_turn_takes_its_place_and_that_of_all_behind_it(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda prompt: words(f"to {prompt}")) as server:
        ids = [await say(server, prompt) for prompt in "abc"]
        await say(server, "B", ids[1])
        assert asked(server) == ["a", "to a", "B"]
        assert await kept(server) == ["a", "to a", "B", "to B"]
        await say(server, "d")
        assert asked(server) == ["a", "to a", "B", "to B", "d"]


async def test_an_unknown_id_or_anothers_takes_nothing_out(autojump_clock: MockClock) -> None:
    async with serving(lambda prompt: words(f"to {prompt}")) as server:
        await say(server, "a")
        async with server.chat("x", session="another") as other:
            await other.read()
        await say(server, "b", "str_never")
        await say(server, "c", other.headers["x-stream-id"])
        assert await kept(server) == ["a", "to a", "b", "to b", "c", "to c"]
        assert len((await got(server, f"{SESSIONS}/another/messages"))["data"]) == 2


async def test_a_live_answer_can_be_replaced(autojump_clock: MockClock) -> None:
    script = by_prompt(a=words("to a"), b=stuck_in("decode"), B=words("to B"))
    async with serving(script) as server:
        await say(server, "a")
        async with server.chat("b", session="s") as live:
            assert await live.status() == 200
            await live.receive()
            await say(server, "B", live.headers["x-stream-id"])
            assert b'"code":"superseded"' in await live.read()
        assert asked(server) == ["a", "to a", "B"]
        assert await kept(server) == ["a", "to a", "B", "to B"]


async def test_what_the_model_server_does_not_answer_costs_no_old_answer(
    autojump_clock: MockClock,
) -> None:
    refused = Play(before_accept=[UpstreamRejectedError("too long")])
    plays = {"a": words("to a"), "b": words("to b"), "A": refused}
    async with serving(lambda prompt: plays[prompt]) as server:
        first, _ = [await say(server, prompt) for prompt in "ab"]
        async with server.chat(body=body("A", first), session="s") as exchange:
            assert await exchange.status() == 400
        *_, prompt, answer = (await got(server, f"{SESSIONS}/s/messages"))["data"]
        assert await kept(server) == ["a", "to a", "b", "to b", "A", ""]
        assert (answer["state"], answer["cause"]) == ("failed", "upstream_error")
        assert prompt["replaces"] == answer["replaces"] == first
        # Who retries what has failed means what that was to replace.
        plays["A"] = words("to A")
        await say(server, "A", answer["stream_id"])
        assert asked(server) == ["A"]
        assert await kept(server) == ["A", "to A"]
        assert (await got(server, f"{SESSIONS}/s"))["title"] == "A"


async def test_while_the_model_server_has_not_begun_to_answer_both_turns_are_there(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(a=words("to a"), A=stuck_in("prefill"))
    async with serving(script) as server:
        first = await say(server, "a")
        async with server.chat(body=body("A", first), session="s") as exchange:
            assert await exchange.status() == 200
            page = await got(server, f"{SESSIONS}/s/messages")
            assert [(m["content"], m["state"], m.get("replaces")) for m in page["data"]] == [
                ("a", "complete", None),
                ("to a", "complete", None),
                ("A", "complete", first),
                ("", "streaming", first),
            ]


async def test_of_the_same_request_sent_again_and_again_one_turn_remains(
    autojump_clock: MockClock,
) -> None:
    """A user who types fast, or a client library that repeats what it heard nothing of."""
    async with serving(lambda prompt: words(f"to {prompt}", gap=0.3)) as server:
        first = await say(server, "a")
        async with (
            server.chat(body=body("A", first), session="s") as one,
            server.chat(body=body("A", first), session="s") as two,
        ):
            for exchange in (one, two):
                await exchange.read()
        assert await one.status() == 409
        await say(server, "A", first)
        assert await kept(server) == ["A", "to A"]


@pytest.mark.parametrize(
    ("sent", "session", "said"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "s", "goes with prompt"),
        ({"prompt": "x"}, None, "needs the X-Session-Id"),
        ({"prompt": "x", "replaces": ""}, "s", "X-Stream-Id of an answer"),
        ({"prompt": "x", "replaces": "x" * 129}, "s", "X-Stream-Id of an answer"),
        ({"prompt": "x", "replaces": 5}, "s", "must be a string"),
    ],
)
async def test_what_cannot_be_replaced_is_400(
    autojump_clock: MockClock, sent: dict[str, Any], session: str | None, said: str
) -> None:
    data = json.dumps({"replaces": "str_x", **sent}).encode()
    async with serving() as server, server.chat(body=data, session=session) as exchange:
        assert await exchange.status() == 400
        error = await refusal(exchange)
        assert error["param"] == "replaces"
        assert said in error["message"]
        await wait_all_tasks_blocked()
        assert server.provider.requests == []


async def test_a_title_that_was_given_stays(autojump_clock: MockClock) -> None:
    async with serving() as server:
        first = await say(server, "a")
        await got(server, f"{SESSIONS}/s", "PATCH", body={"title": "mine"})
        await say(server, "A", first)
        assert (await got(server, f"{SESSIONS}/s"))["title"] == "mine"


async def test_messages_come_newest_first_too(autojump_clock: MockClock) -> None:
    async with serving(lambda prompt: words(f"to {prompt}")) as server:
        for number in range(3):
            await say(server, f"{number}")
        seen = []
        path = f"{SESSIONS}/s/messages?order=desc&limit=4"
        page = await got(server, path)
        while True:
            seen += [message["content"] for message in page["data"]]
            if not page["has_more"]:
                break
            page = await got(server, f"{path}&after={page['data'][-1]['seq']}")
        assert seen == ["to 2", "2", "to 1", "1", "to 0", "0"]
        asc = await got(server, f"{SESSIONS}/s/messages?order=asc")
        assert asc == await got(server, f"{SESSIONS}/s/messages")
        assert [message["content"] for message in asc["data"]] == seen[::-1]


@pytest.mark.parametrize("word", ["", "DESC", "newest"])
async def test_an_order_that_there_is_not_is_400(autojump_clock: MockClock, word: str) -> None:
    async with serving() as server:
        await say(server, "a")
        error = await got(server, f"{SESSIONS}/s/messages?order={word}", status=400)
        assert error["param"] == "order"
        assert error["message"] == "order is asc or desc"
