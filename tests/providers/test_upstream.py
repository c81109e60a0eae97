"""What two formats share: refusals, faults and who may see what the upstream said."""

from typing import Any

import pytest
import trio
import trio.testing

from jarvis_trio.errors import (
    ConfigError,
    JarvisError,
    ModelNotFoundError,
    UpstreamBusyError,
    UpstreamDownError,
    UpstreamEOFError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from jarvis_trio.events import ChatRequest, Delta, Finish, Message, Text
from jarvis_trio.providers.ollama import OllamaProvider
from jarvis_trio.providers.openai_compatible import OpenAICompatibleProvider
from jarvis_trio.providers.upstream import Upstream, UpstreamAnswer
from jarvis_trio.wire.openai.upstream import ChatDecoder
from tests.providers.raw_server import (
    Handler,
    RawPeer,
    RawServer,
    answering,
    answering_and_staying,
    raw_server,
    sockets_to,
    unaccepting_port,
)

KEY = "sk-very-secret"
SAID = "the prompt was: my diary"
ASK = ChatRequest(messages=(Message("user", "hi"),), model="m")
HttpProvider = OllamaProvider | OpenAICompatibleProvider

ONE = b'data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def provider_for(server: RawServer, key: str | None = KEY) -> OpenAICompatibleProvider:
    return OpenAICompatibleProvider(f"{server.url}/v1", key, 5)


def ollama_for(server: RawServer) -> OllamaProvider:
    return OllamaProvider(server.url, KEY, 5)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


def refusing(status: int, body: bytes, *headers: bytes) -> Handler:
    lines = [b"HTTP/1.1 %d No" % status, *headers, b"Content-Length: %d" % len(body), b"", body]
    return answering(b"\r\n".join(lines))


def saying(text: str) -> bytes:
    return b'{"error":{"message":"%s"}}' % text.encode()


async def collect(provider: HttpProvider, into: list[Delta]) -> None:
    async with provider.chat(ASK) as answer:
        while deltas := await answer.receive():
            into += deltas


async def error_from(handler: Handler, key: str | None = KEY) -> JarvisError:
    with trio.fail_after(10):
        async with raw_server(handler) as server:
            with pytest.raises(JarvisError) as caught:
                await collect(provider_for(server, key), [])
            assert sockets_to(server.port) == 0
            return caught.value


async def deltas_and_error(handler: Handler) -> tuple[list[Delta], JarvisError]:
    deltas: list[Delta] = []
    with trio.fail_after(10):
        async with raw_server(handler) as server:
            with pytest.raises(JarvisError) as caught:
                await collect(provider_for(server), deltas)
            return deltas, caught.value


class TestRefusals:
    """Statuses other than 200."""

    @pytest.mark.parametrize(
        ("status", "kind", "our_status", "code"),
        [
            (301, UpstreamError, 502, "upstream_error"),
            (400, UpstreamRejectedError, 400, "upstream_rejected"),
            (401, UpstreamError, 502, "upstream_error"),
            (403, UpstreamError, 502, "upstream_error"),
            (404, UpstreamError, 502, "upstream_error"),
            (413, UpstreamRejectedError, 400, "upstream_rejected"),
            (422, UpstreamRejectedError, 400, "upstream_rejected"),
            (429, UpstreamRateLimitError, 429, "upstream_rate_limited"),
            (500, UpstreamError, 502, "upstream_error"),
            (502, UpstreamDownError, 502, "upstream_error"),
            (503, UpstreamBusyError, 503, "upstream_busy"),
            (599, UpstreamError, 502, "upstream_error"),
        ],
    )
    async def test_each_status_has_its_error(
        self, status: int, kind: type[UpstreamError], our_status: int, code: str
    ) -> None:
        error = await error_from(refusing(status, saying(SAID)))
        assert type(error) is kind
        assert (error.status, error.code) == (our_status, code)
        assert error.message.startswith("openai at 127.0.0.1:")

    @pytest.mark.parametrize("status", [201, 202, 204, 206])
    async def test_only_a_200_is_an_answer(self, status: int) -> None:
        error = await error_from(answering(b"HTTP/1.1 %d Hm\r\nContent-Length: 0\r\n\r\n" % status))
        assert type(error) is UpstreamError
        assert str(status) in error.message

    @pytest.mark.parametrize("said", ["model 'm' not found", "The Model does not exist"])
    async def test_a_404_about_the_model_is_the_clients_to_mend(self, said: str) -> None:
        error = await error_from(refusing(404, saying(said)))
        assert type(error) is ModelNotFoundError
        assert (error.status, error.code, error.param) == (404, "model_not_found", "model")

    async def test_a_404_about_a_path_names_the_setting(self) -> None:
        error = await error_from(refusing(404, b"<html>Not Found</html>"))
        assert "/v1/chat/completions" in error.message
        assert "JARVIS_UPSTREAM" in error.message

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_refused_key_names_the_setting_and_says_no_more(self, status: int) -> None:
        error = await error_from(refusing(status, saying(f"wrong key {KEY}")))
        assert "JARVIS_UPSTREAM_KEY" in error.message
        assert KEY not in error.message

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("sent", "seconds"),
        [
            (b"7", 7.0),
            (b"7 ", 7.0),
            (b"0", 0.0),
            (b"Wed, 21 Oct 2015 07:28:00 GMT", None),
            (b"-1", None),
            (b"1e9", None),
            (b"9" * 400, None),
            (b"", None),
        ],
    )
    async def test_retry_after_is_handed_on_when_it_is_in_seconds(
        self, status: int, sent: bytes, seconds: float | None
    ) -> None:
        error = await error_from(refusing(status, b"{}", b"Retry-After: " + sent))
        assert error.retry_after == seconds

    @pytest.mark.parametrize("status", [400, 429, 500, 503])
    async def test_clients_see_what_the_upstream_said_and_logs_do_not(self, status: int) -> None:
        error = await error_from(refusing(status, saying(SAID)))
        assert SAID in error.message
        assert SAID not in error.summary
        assert error.summary

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500, 503])
    @pytest.mark.parametrize("model", ["", "model "])
    async def test_a_key_that_the_upstream_repeats_goes_no_further(
        self, status: int, model: str
    ) -> None:
        error = await error_from(refusing(status, saying(f"{model}not with Bearer {KEY}, please")))
        assert KEY not in error.message
        assert KEY not in error.summary
        assert KEY not in str(error)

    async def test_the_key_is_sent_and_is_in_no_name(self) -> None:
        heard = []

        async def handler(peer: RawPeer) -> None:
            heard.append(await peer.read_request())
            await peer.send(STREAM + ONE + DONE)

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                provider = provider_for(server)
                await collect(provider, [])
                await collect(provider_for(server, None), [])
                assert provider.name == f"openai at 127.0.0.1:{server.port}"
        # Each asks once for the models, to get to know the server, and then for the answer.
        assert len(heard) == 4
        assert all(f"Authorization: Bearer {KEY}\r\n".encode() in head for head in heard[:2])
        assert all(b"authorization" not in head.lower() for head in heard[2:])

    def test_a_key_with_a_line_break_is_not_sent_and_not_shown(self) -> None:
        with pytest.raises(ConfigError) as refused:
            Upstream("openai", "http://127.0.0.1:1", f"{KEY}\nX-Injected: 1", 1)
        assert KEY not in refused.value.message

    async def test_a_redirect_is_not_followed(self) -> None:
        async with raw_server(answering(STREAM + ONE + DONE)) as elsewhere:
            location = b"Location: %b/v1/chat/completions" % elsewhere.url.encode()
            error = await error_from(refusing(307, b"", location))
            assert "307" in error.message
            assert elsewhere.accepted == 0

    @pytest.mark.parametrize("location", [b"http://diary:port/", b"http://xn--diary-\xff/", b"//["])
    async def test_a_redirect_to_nowhere_is_only_a_redirect(self, location: bytes) -> None:
        error = await error_from(refusing(302, b"", b"Location: " + location))
        assert type(error) is UpstreamError
        assert "302" in error.message
        assert "diary" not in error.summary

    @pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
    async def test_a_refusal_that_is_cut_off_is_still_that_refusal(self, status: int) -> None:
        whole = await error_from(refusing(status, b""))
        cut = await error_from(answering(b"HTTP/1.1 %d No\r\nContent-Length: 9\r\n\r\n{" % status))
        assert type(cut) is type(whole)

    async def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request(self) -> None:
        heard = []

        async def handler(peer: RawPeer) -> None:
            heard.append(await peer.read_request())
            await peer.send(STREAM[:-2] + b"Set-Cookie: who=alice; Path=/\r\n\r\n" + ONE + DONE)

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                provider = provider_for(server)
                await collect(provider, [])
                await collect(provider, [])
        assert b"alice" not in heard[1]

    async def test_an_early_refusal_of_a_large_prompt_is_heard(self) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_head()
            body = saying("too large")
            head = b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n" % len(body)
            await peer.send(head + body)
            await done.wait()

        done = trio.Event()
        large = ChatRequest(messages=(Message("user", "x" * 12_000_000),), model="m")
        with trio.fail_after(10):
            async with raw_server(handler) as server:
                with pytest.raises(UpstreamRejectedError, match="too large"):
                    async with provider_for(server).chat(large):
                        pass
                done.set()


class TestTransportFaults:
    """No answer at all."""

    async def test_nobody_listens(self) -> None:
        async with raw_server(answering()) as server:
            pass
        with trio.fail_after(10), pytest.raises(UpstreamError, match="cannot be reached") as caught:
            await collect(provider_for(server), [])
        assert type(caught.value) is UpstreamDownError

    async def test_a_connection_that_is_not_taken_times_out(self) -> None:
        with unaccepting_port() as port, trio.fail_after(10):
            provider = OpenAICompatibleProvider(f"http://127.0.0.1:{port}/v1", KEY, 0.05)
            with pytest.raises(UpstreamTimeoutError, match="connect"):
                await collect(provider, [])

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2"])
    async def test_what_ends_before_an_answer(self, sent: bytes) -> None:
        assert type(await error_from(answering(sent))) is UpstreamEOFError

    @pytest.mark.parametrize("sent", [b"\0\1\2", b"220 mail ready\r\n"])
    async def test_what_is_not_http_has_not_been_broken_off(self, sent: bytes) -> None:
        assert type(await error_from(answering_and_staying(sent))) is UpstreamError

    async def test_a_reset_before_an_answer(self) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            peer.reset()

        assert type(await error_from(handler)) is UpstreamEOFError

    @pytest.mark.parametrize("sent", [b"", b"[]", b"{}", b'{"data":3}', b"<html>", b"\xff"])
    async def test_a_list_of_models_that_is_none(self, sent: bytes) -> None:
        with trio.fail_after(10):
            async with raw_server(answering(b"HTTP/1.1 200 OK\r\n\r\n" + sent)) as server:
                for provider in (provider_for(server), ollama_for(server)):
                    with pytest.raises(UpstreamError, match="cannot be read"):
                        await provider.models()
                assert sockets_to(server.port) == 0

    @pytest.mark.parametrize("resets", [False, True])
    async def test_a_list_of_models_that_breaks_off(self, resets: bool) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"da')
            if resets:
                peer.reset()

        with trio.fail_after(10):
            async with raw_server(handler) as server:
                with pytest.raises(UpstreamEOFError):
                    await provider_for(server).models()
                assert sockets_to(server.port) == 0


class TestAnswers:
    """What comes with a 200."""

    async def test_an_answer_is_its_deltas_and_then_nothing_for_ever(self) -> None:
        deltas: list[Delta] = []
        with trio.fail_after(10):
            async with (
                raw_server(answering_and_staying(STREAM + ONE + STOP + DONE)) as server,
                provider_for(server).chat(ASK) as answer,
            ):
                while got := await answer.receive():
                    deltas += got
                assert [await answer.receive() for _ in range(3)] == [[], [], []]
        assert deltas == [Text("one"), Finish("stop")]

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (STREAM + ONE, UpstreamEOFError),
            (chunked(ONE), UpstreamEOFError),
            (chunked(ONE, end=b""), UpstreamEOFError),
            (chunked(ONE, end=b"5\r\ndat"), UpstreamEOFError),
            (chunked(ONE, end=b"what is this\r\n"), UpstreamEOFError),
            (STREAM + ONE + b"data: {oops\n\n", UpstreamError),
            (STREAM + ONE + b'data: {"choices":7}\n\n', UpstreamError),
            (STREAM + ONE + b"data: " + saying(SAID) + b"\n\n", UpstreamError),
            (STREAM + ONE + b"event: error\ndata: " + saying(SAID) + b"\n\n" + DONE, UpstreamError),
        ],
    )
    @pytest.mark.parametrize("together", [True, False])
    async def test_what_came_before_a_fault_is_handed_out_first(
        self, answer: bytes, kind: type[UpstreamError], together: bool
    ) -> None:
        at = answer.index(ONE) + len(ONE)
        pieces = [answer] if together else [answer[:at], answer[at:]]
        deltas, error = await deltas_and_error(answering(*pieces))
        assert deltas == [Text("one")]
        assert type(error) is kind
        assert error.message.startswith("openai at 127.0.0.1:")
        assert SAID not in error.summary

    async def test_a_reset_is_behind_what_came_before_it(self) -> None:
        async def handler(peer: RawPeer) -> None:
            await peer.read_request()
            await peer.send(STREAM + ONE)
            peer.reset()

        deltas, error = await deltas_and_error(handler)
        assert deltas == [Text("one")]
        assert type(error) is UpstreamEOFError

    async def test_an_error_in_mid_answer_reaches_clients_without_our_key(self) -> None:
        text = f"{SAID} and {KEY}"
        _, error = await deltas_and_error(
            answering(STREAM + ONE + b"data: " + saying(text) + b"\n\n")
        )
        assert SAID in error.message
        assert KEY not in error.message

    async def test_a_fault_is_raised_again_when_asked_again(self) -> None:
        with trio.fail_after(10):
            async with (
                raw_server(answering(STREAM + b"data: {oops\n\n")) as server,
                provider_for(server).chat(ASK) as answer,
            ):
                for _ in range(2):
                    with pytest.raises(UpstreamError, match="cannot be read"):
                        await answer.receive()

    async def test_a_page_for_people_is_no_answer(self) -> None:
        page = b"HTTP/1.1 200 OK\r\n\r\n<html>\n<h1>Sign in</h1>\n\n</html>"
        assert isinstance(await error_from(answering(page)), UpstreamError)
        with trio.fail_after(10):
            async with raw_server(answering(page)) as server:
                with pytest.raises(UpstreamError):
                    await collect(ollama_for(server), [])

    async def test_a_finish_reason_is_an_end_marker_even_without_done(self) -> None:
        deltas: list[Delta] = []
        with trio.fail_after(10):
            async with raw_server(answering(STREAM + ONE + STOP)) as server:
                await collect(provider_for(server), deltas)
        assert deltas == [Text("one"), Finish("stop")]

    async def test_leaving_awaits_nothing_and_closes(self) -> None:
        with trio.fail_after(10):
            async with raw_server(answering_and_staying(STREAM + ONE)) as server:
                chat = provider_for(server).chat(ASK)
                answer = await chat.__aenter__()
                assert await answer.receive() == [Text("one")]
                with trio.testing.assert_no_checkpoints():
                    await chat.__aexit__(None, None, None)
                assert sockets_to(server.port) == 0
                await server.wait_handled(1)

    async def test_a_line_separator_in_a_text_is_text(self) -> None:
        deltas: list[Delta] = []
        text = "one\u2028two\x85three"
        with trio.fail_after(10):
            sent = STREAM + ONE.replace(b"one", text.encode()) + STOP + DONE
            async with raw_server(answering(sent)) as server:
                await collect(provider_for(server), deltas)
        assert deltas[0] == Text(text)


async def heard_from(user: str, key: str | None) -> bytes:
    """Return what a server hears that is asked for its models."""
    heard = []

    async def handler(peer: RawPeer) -> None:
        heard.append(await peer.read_request())
        await peer.send(b'HTTP/1.1 200 OK\r\n\r\n{"data":[]}')

    with trio.fail_after(10):
        async with raw_server(handler) as server:
            url = server.url.replace("//", f"//{user}")
            provider = OpenAICompatibleProvider(url, key, 3)
            assert provider.name == f"openai at 127.0.0.1:{server.port}"
            await provider.models()
    return heard[0]


@pytest.mark.parametrize(
    ("key", "sent"), [(None, "Basic bWU6cEBzcw=="), ("the-key-itself", "Bearer the-key-itself")]
)
async def test_a_name_and_a_password_in_the_address_say_who_we_are_where_no_key_does(
    key: str | None, sent: str
) -> None:
    heard = await heard_from("me:p%40ss@", key)
    assert b"\r\nAuthorization: %b\r\n" % sent.encode() in heard
    assert b"me:" not in heard


class Chatterer:
    """A body that always has something, and never an answer."""

    def __init__(self) -> None:
        self.reads = 0

    async def receive(self) -> bytes:
        self.reads += 1
        assert self.reads < 100_000, "nobody else has a turn"
        return b": still here\n\n"


async def test_an_upstream_that_only_chatters_holds_nobody_up() -> None:
    provider = OpenAICompatibleProvider("http://127.0.0.1:1/v1", KEY, 3)
    body: Any = Chatterer()
    answer = UpstreamAnswer(provider._upstream, body, ChatDecoder())
    with trio.move_on_after(0.01) as scope:
        await answer.receive()
    assert scope.cancelled_caught
