"""Who gets in: keys, where ``devkey`` works, and which host names are ours."""

import pytest
from trio.testing import MockClock

from tests.scripted import words
from tests.web.server import CHAT, by_prompt, refusal, serving, stuck_in, text_of

FAR = ("192.0.2.7", 5555)


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic devkey", "devkey", "Bearer wrong"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/v1/models/x")]
)
async def test_without_a_known_key_it_is_401(
    autojump_clock: MockClock, authorization: str | None, method: str, path: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with (
        serving() as server,
        server.request(method, path, headers=headers, body=b"{}") as exchange,
    ):
        assert await exchange.status() == 401
        error = await refusal(exchange)
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
        assert exchange.headers["www-authenticate"] == "Bearer"
        assert "wrong" not in error["message"]


async def test_the_scheme_may_be_written_in_any_case(autojump_clock: MockClock) -> None:
    async with (
        serving() as server,
        server.chat(headers={"Authorization": "bEARER  devkey "}) as exchange,
    ):
        assert await exchange.status() == 200


@pytest.mark.parametrize(
    "client", [("127.0.0.1", 1), ("127.8.9.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1), None]
)
async def test_devkey_works_from_this_machine(
    autojump_clock: MockClock, client: tuple[str, int] | None
) -> None:
    """A unix socket has no address, and a dual-stack socket writes IPv4 as IPv6."""
    async with serving() as server, server.chat(client=client) as exchange:
        assert await exchange.status() == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7"])
async def test_devkey_works_from_no_other_machine(autojump_clock: MockClock, address: str) -> None:
    spoofed = {"Remote-Addr": "127.0.0.1"}
    async with (
        serving() as server,
        server.chat(client=(address, 1), headers=spoofed) as exchange,
    ):
        assert await exchange.status() == 401
        error = await refusal(exchange)
        assert error["code"] == "invalid_api_key"
        assert "JARVIS_API_KEYS" in error["message"]


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "x-forwarded-for", "X-Forwarded-Proto", "X-Real-IP", "Via", "CF-Connecting-IP"],
)
async def test_devkey_does_not_work_through_a_proxy(autojump_clock: MockClock, header: str) -> None:
    async with serving() as server, server.chat(headers={header: "127.0.0.1"}) as exchange:
        assert await exchange.status() == 401


async def test_devkey_is_no_key_once_there_are_others(autojump_clock: MockClock) -> None:
    async with serving(api_keys=("mine",)) as server, server.chat() as exchange:
        assert await exchange.status() == 401
    async with serving(admin_keys=("root",)) as server, server.chat() as exchange:
        assert await exchange.status() == 401


@pytest.mark.parametrize("key", ["mine", "yours", "root"])
async def test_a_key_of_ours_works_from_anywhere(autojump_clock: MockClock, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "192.0.2.9"}
    async with (
        serving(api_keys=("mine", "yours"), admin_keys=("root",)) as server,
        server.chat(headers=headers, client=FAR) as exchange,
    ):
        assert await exchange.status() == 200


@pytest.mark.parametrize("key", ["clé", "voilà"])
async def test_a_key_may_hold_any_letters(autojump_clock: MockClock, key: str) -> None:
    """Clients send UTF-8, headers are decoded as Latin-1: there, à ends like a space."""
    as_decoded = key.encode().decode("latin-1")
    async with (
        serving(api_keys=(key,)) as server,
        server.chat(headers={"Authorization": f"Bearer {as_decoded}"}) as exchange,
    ):
        assert await exchange.status() == 200


async def test_two_keys_with_the_same_session_id_never_meet(autojump_clock: MockClock) -> None:
    script = by_prompt(A=words("a1 ", "a2", gap=5), B=words("b"), C=stuck_in("decode"))
    mine = {"Authorization": "Bearer mine"}
    yours = {"Authorization": "Bearer yours"}
    async with serving(script, api_keys=("mine", "yours")) as server:
        async with server.chat("A", session="s", headers=mine) as first:
            assert await first.status() == 200
            async with server.chat("B", session="s", headers=yours) as other:
                assert text_of(await other.read()) == "b"
            assert text_of(await first.read()) == "a1 a2"
        async with server.chat("C", session="s", headers=mine) as first:
            assert await first.status() == 200
            async with server.chat("B", session="s", headers=mine) as second:
                assert text_of(await second.read()) == "b"
            assert b'"superseded"' in await first.read()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "jarvis.localhost:8000",
        "127.0.0.1",
        "192.0.2.1:8000",
        "[::1]",
        "[::1]:8000",
        "[2001:db8::1]:443",
        "chat.example",
        "Chat.Example:8443",
        "localhost.:8000",
    ],
)
async def test_a_host_that_is_ours_is_answered(autojump_clock: MockClock, host: str) -> None:
    async with (
        serving(allowed_hosts=("Chat.example:8000",)) as server,
        server.chat(headers={"Host": host}) as exchange,
    ):
        assert await exchange.status() == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        "chat.example.evil.example",
        "notchat.example",
        "user@localhost",
        "[::1].evil.example",
        "localhost:8000.evil.example",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/", "/healthz", "/metrics", "/nowhere"])
async def test_a_host_that_is_not_ours_is_403_everywhere(
    autojump_clock: MockClock, host: str, path: str
) -> None:
    """A web page that rebinds its name to this machine must not reach it."""
    method = "POST" if path == CHAT else "GET"
    async with serving(allowed_hosts=("chat.example",)) as server:
        async with server.request(method, path, headers={"Host": host}) as exchange:
            assert await exchange.status() == 403
            error = await refusal(exchange)
            assert (error["type"], error["code"]) == ("permission_error", "host_not_allowed")
            assert "JARVIS_ALLOWED_HOSTS" in error["message"]
        assert server.provider.history == []


async def test_a_star_allows_every_host(autojump_clock: MockClock) -> None:
    async with (
        serving(allowed_hosts=("*",)) as server,
        server.chat(headers={"Host": "evil.example"}) as exchange,
    ):
        assert await exchange.status() == 200


async def test_a_page_of_another_origin_is_not_let_in_by_its_browser(
    autojump_clock: MockClock,
) -> None:
    """No CORS unless set: the preflight is answered without leave."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with serving() as server, server.request("OPTIONS", CHAT, headers=headers) as exchange:
        await exchange.status()
        assert not [name for name in exchange.headers if name.startswith("access-control")]
