"""The session routes: conversations listed, seen, named and deleted, each by its own key only."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from jarvis_trio.events import Text
from jarvis_trio.web import session_answers
from tests.scripted import Play, words
from tests.web.server import DEVKEY, JSON, Server, by_prompt, refusal, serving, stuck_in, text_of

SESSIONS = "/v1/sessions"


def key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


async def got(
    server: Server,
    path: str,
    method: str = "GET",
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    body: Any = None,
) -> Any:
    """Return a route's answer."""
    data = b"" if body is None else json.dumps(body).encode()
    sent = {**JSON, **(headers or DEVKEY)}
    async with server.request(method, path, headers=sent, body=data) as exchange:
        assert await exchange.status() == status, await exchange.read()
        return await exchange.json() if status == 200 else await refusal(exchange)


async def talk(server: Server, prompt: str, session: str | None, **options: Any) -> str:
    """Return a whole answer's text."""
    async with server.chat(prompt, session=session, **options) as exchange:
        assert await exchange.status() == 200
        return text_of(await exchange.read())


async def test_a_conversation_is_listed_with_its_title_and_its_messages(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda prompt: words(f"to {prompt}")) as server:
        assert await got(server, SESSIONS) == {
            "object": "list",
            "data": [],
            "has_more": False,
            "next_cursor": None,
        }
        await talk(server, "what is  2+2?", "sums")
        await talk(server, "and 3+3?", "sums")
        (card,) = (await got(server, SESSIONS))["data"]
        assert card == {
            "id": "sums",
            "object": "session",
            "title": "what is 2+2?",
            "created_at": card["created_at"],
            "updated_at": card["updated_at"],
            "active_stream_id": None,
            "queue": [],
        }
        assert await got(server, f"{SESSIONS}/sums") == card
        page = await got(server, f"{SESSIONS}/sums/messages")
        assert [(m["role"], m["content"], m["state"]) for m in page["data"]] == [
            ("user", "what is  2+2?", "complete"),
            ("assistant", "to what is  2+2?", "complete"),
            ("user", "and 3+3?", "complete"),
            ("assistant", "to and 3+3?", "complete"),
        ]
        assert page["data"][1]["cause"] == "completed"
        assert page["data"][1]["finish_reason"] == "stop"
        assert not page["has_more"]


async def test_what_is_live_and_what_waits_is_seen(autojump_clock: MockClock) -> None:
    script = by_prompt(A=stuck_in("decode"), B=words("b"))
    async with serving(script) as server, server.chat("A", session="s") as first:
        assert await first.status() == 200
        await first.receive()
        enqueue = {"X-Session-Policy": "enqueue"}
        async with (
            server.chat("B", session="s", headers=enqueue) as second,
            server.chat("B", session="s", headers=enqueue) as third,
        ):
            for waiting in (second, third):
                assert await waiting.status() == 200  # after a second, while it waits
            card = await got(server, f"{SESSIONS}/s")
            assert card["active_stream_id"] == first.headers["x-stream-id"]
            assert card["queue"] == [
                {"stream_id": second.headers["x-stream-id"], "position": 1, "content": "B"},
                {"stream_id": third.headers["x-stream-id"], "position": 2, "content": "B"},
            ]
            (listed,) = (await got(server, SESSIONS))["data"]
            for waiting in card["queue"]:
                del waiting["content"]  # a list of conversations would be as long as its prompts
            assert listed == card
            *_, answer = (await got(server, f"{SESSIONS}/s/messages"))["data"]
            assert (answer["role"], answer["state"]) == ("assistant", "streaming")
            second.disconnect()
            await wait_all_tasks_blocked()
            (left,) = (await got(server, f"{SESSIONS}/s"))["queue"]
            assert left == {
                "stream_id": third.headers["x-stream-id"],
                "position": 1,
                "content": "B",
            }


async def test_only_so_much_is_told_of_the_prompts_that_wait(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_answers, "MOST_CHARS", 10)
    prompts = ["what is this?", "and that?"]
    async with serving(lambda _: stuck_in("decode")) as server, AsyncExitStack() as waiting:
        for prompt in ["first", *prompts]:
            call = server.chat(prompt, session="s", headers={"X-Session-Policy": "enqueue"})
            await (await waiting.enter_async_context(call)).status()
        queue = (await got(server, f"{SESSIONS}/s"))["queue"]
        assert [told.get("content") for told in queue] == ["what is this?", None]


async def test_a_prompt_that_waits_for_the_model_server_is_told_until_the_history_has_it(
    autojump_clock: MockClock,
) -> None:
    script = by_prompt(A=words("a", gap=5), B=stuck_in("decode"))
    async with (
        serving(script, upstream_concurrency=1) as server,
        server.chat("A", session="other") as first,
        server.chat("B", session="s") as second,
    ):
        assert await second.status() == 200
        card = await got(server, f"{SESSIONS}/s")
        assert card["active_stream_id"] == second.headers["x-stream-id"]
        assert card["active_content"] == "B"
        assert text_of(await first.read()) == "a"
        await second.receive()
        assert "active_content" not in await got(server, f"{SESSIONS}/s")


async def test_of_what_waits_the_users_new_words_are_told(autojump_clock: MockClock) -> None:
    said = [{"role": "user", "content": "weather?"}, {"role": "assistant", "content": "I look."}]
    new = {
        "of two messages": [{"role": "user", "content": "q1"}, {"role": "user", "content": "q2"}],
        "of a tool's result": [{"role": "tool", "tool_call_id": "c", "content": "sunny"}],
    }
    async with serving(lambda _: stuck_in("decode")) as server, AsyncExitStack() as waiting:
        for messages in [said, *([*said, *added] for added in new.values())]:
            body = json.dumps({"messages": messages, "stream": True}).encode()
            headers = {"X-Session-Policy": "enqueue"}
            call = server.chat(session="s", headers=headers, body=body)
            await (await waiting.enter_async_context(call)).status()
        queue = (await got(server, f"{SESSIONS}/s"))["queue"]
        assert [told.get("content") for told in queue] == ["q1\n\nq2", None]


async def test_pages_follow_each_other_by_cursor_without_gap_or_double(
    autojump_clock: MockClock,
) -> None:
    async with serving() as server:
        for number in range(7):
            await talk(server, f"prompt {number}", f"s{number}")
        seen: list[str] = []
        path = f"{SESSIONS}?limit=3"
        while True:
            page = await got(server, path)
            seen += [card["id"] for card in page["data"]]
            assert page["has_more"] == (page["next_cursor"] is not None)
            if not page["has_more"]:
                break
            path = f"{SESSIONS}?limit=3&cursor={page['next_cursor']}"
        assert seen == [f"s{number}" for number in reversed(range(7))]
        found = await got(server, f"{SESSIONS}?search=PROMPT%203")
        assert [card["id"] for card in found["data"]] == ["s3"]
        assert (await got(server, f"{SESSIONS}?search=%25"))["data"] == []


async def test_messages_come_in_pages(autojump_clock: MockClock) -> None:
    async with serving(lambda prompt: words(f"to {prompt}")) as server:
        for number in range(3):
            await talk(server, f"{number}", "s")
        seen = []
        after = 0
        while True:
            page = await got(server, f"{SESSIONS}/s/messages?limit=4&after={after}")
            seen += [message["content"] for message in page["data"]]
            if not page["has_more"]:
                break
            after = page["data"][-1]["seq"]
        assert seen == ["0", "to 0", "1", "to 1", "2", "to 2"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=two", "limit"),
        ("limit=", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=1.0~0123456789abcdef~%00", "cursor"),
        ("cursor=%00%ff", "cursor"),
        ("cursor=nan~0123456789abcdef~s", "cursor"),
    ],
)
async def test_a_query_that_cannot_be_read_is_400(
    autojump_clock: MockClock, query: str, param: str
) -> None:
    async with serving() as server:
        assert (await got(server, f"{SESSIONS}?{query}", status=400))["param"] == param


async def test_a_number_behind_many_zeros_is_400(autojump_clock: MockClock) -> None:
    async with serving() as server:
        await talk(server, "hi", "s")
        for after in ("0" * 20 + "9" * 24, "0" * 5000 + "1"):
            path = f"{SESSIONS}/s/messages?after={after}"
            assert (await got(server, path, status=400))["param"] == "after"


async def test_a_title_can_be_changed_and_stays(autojump_clock: MockClock) -> None:
    async with serving() as server:
        await talk(server, "hi", "s")
        card = await got(server, f"{SESSIONS}/s", "PATCH", body={"title": " Ünïcode 💬 "})
        assert card["title"] == "Ünïcode 💬"
        await talk(server, "again", "s")
        assert (await got(server, f"{SESSIONS}/s"))["title"] == "Ünïcode 💬"
        bad: Any
        for bad in ({"title": " "}, {"title": "x" * 201}, {"title": 5}, {}, {"titel": "x"}, []):
            await got(server, f"{SESSIONS}/s", "PATCH", body=bad, status=400)
        await got(server, f"{SESSIONS}/none", "PATCH", body={"title": "x"}, status=404)


async def test_deleting_a_conversation_stops_what_is_live_in_it(autojump_clock: MockClock) -> None:
    async with serving(lambda _: Play(Text("part"), trio.Event())) as server:
        async with server.chat("A", session="s") as first:
            assert await first.status() == 200
            await first.receive()
            assert await got(server, f"{SESSIONS}/s", "DELETE") == {
                "id": "s",
                "object": "session.deleted",
                "deleted": True,
            }
            assert server.provider.open == 0
            assert b'"code":"stopped"' in await first.read()
        for path in ("", "/messages"):
            await got(server, f"{SESSIONS}/s{path}", status=404)
        await got(server, f"{SESSIONS}/s", "DELETE", status=404)
        await server.assert_nothing_is_left()


async def test_after_a_delete_the_same_name_is_a_new_conversation(
    autojump_clock: MockClock,
) -> None:
    async with serving(lambda prompt: words(f"to {prompt}")) as server:
        await talk(server, "a", "s")
        await got(server, f"{SESSIONS}/s", "DELETE")
        await talk(server, "b", "s")
        assert [m.text for m in server.provider.requests[-1].messages] == ["b"]
        assert (await got(server, f"{SESSIONS}/s"))["title"] == "b"


async def test_to_another_key_a_conversation_does_not_exist_and_an_admin_sees_all(
    autojump_clock: MockClock,
) -> None:
    async with serving(api_keys=("one", "two"), admin_keys=("chief",)) as server:
        await talk(server, "mine", "s", headers=key("one"))
        await talk(server, "yours", "s", headers=key("two"))
        for name, title in (("one", "mine"), ("two", "yours")):
            (card,) = (await got(server, SESSIONS, headers=key(name)))["data"]
            assert card["title"] == title
        listed = await got(server, SESSIONS, headers=key("chief"))
        assert {card["title"] for card in listed["data"]} == {"mine", "yours"}
        await talk(server, "only two", "t", headers=key("two"))
        for method, path in (("GET", ""), ("GET", "/messages"), ("DELETE", ""), ("PATCH", "")):
            body = {"title": "x"}
            target = f"{SESSIONS}/t{path}"
            await got(server, target, method, headers=key("one"), body=body, status=404)
        # By its name, an admin sees the one that was updated last, and its own before others'.
        assert (await got(server, f"{SESSIONS}/s", headers=key("chief")))["title"] == "yours"
        await talk(server, "the chief's", "s", headers=key("chief"))
        assert (await got(server, f"{SESSIONS}/s", headers=key("chief")))["title"] == "the chief's"
        await got(server, f"{SESSIONS}/t", "DELETE", headers=key("chief"))
        await got(server, f"{SESSIONS}/t", headers=key("two"), status=404)


async def test_an_admin_may_stop_what_others_have_asked(autojump_clock: MockClock) -> None:
    async with (
        serving(lambda _: stuck_in("decode"), api_keys=("one",), admin_keys=("chief",)) as server,
        server.chat("A", session="s", headers=key("one")) as first,
        server.chat("A", session="t", headers=key("one")) as second,
    ):
        for exchange in (first, second):
            assert await exchange.status() == 200
        stream_id = second.headers["x-stream-id"]
        for path in (f"{SESSIONS}/s/cancel", f"/v1/streams/{stream_id}/cancel"):
            receipt = await got(server, path, "POST", headers=key("chief"))
            assert receipt["status"] == "cancelled"
            again = await got(server, path, "POST", headers=key("chief"))
            assert again["status"] == "already_ended"


async def test_a_session_without_a_name_is_not_kept(autojump_clock: MockClock) -> None:
    async with serving() as server:
        await talk(server, "hi", None)
        assert (await got(server, SESSIONS))["data"] == []


async def test_what_lives_is_seen_before_it_is_kept(autojump_clock: MockClock) -> None:
    async with (
        serving(lambda _: stuck_in("decode"), upstream_concurrency=1) as server,
        server.chat("A", session="s") as first,
    ):
        assert await first.status() == 200
        async with server.chat("B", session="t") as second:
            assert await second.status() == 200
            card = await got(server, f"{SESSIONS}/t")
            assert (card["title"], card["active_stream_id"]) == (
                "B",
                second.headers["x-stream-id"],
            )
            assert (await got(server, f"{SESSIONS}/t/messages"))["data"] == []


@pytest.mark.parametrize("name", ["%00", "a%20b", "x" * 129, "é"])
async def test_a_name_that_no_session_can_have_is_404(autojump_clock: MockClock, name: str) -> None:
    async with serving() as server:
        await got(server, f"{SESSIONS}/{name}", status=404)
