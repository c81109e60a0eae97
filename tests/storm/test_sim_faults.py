"""Each fault puts on the wire what its model's name says."""

import json

import pytest
import trio

from jarvis_trio.storm.sim import answers
from tests.storm.raw_client import Answer, Api, SimClient, text, words

APIS = pytest.mark.parametrize("api", ["openai", "ollama"])
STREAM = pytest.mark.parametrize("stream", [True, False])


def end_markers(answer: Answer) -> int:
    body = answer.body
    return body.count(b"[DONE]") + body.count(b'"stop"') + body.count(b'"done":true')


@APIS
@STREAM
async def test_hang_answers_nothing(sim: SimClient, api: Api, stream: bool) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, "sim-hang", "marker:h", stream=stream)
            await sim.happened("h", "arrival")
            # What the sim had to say, it would have said before it answered another request.
            connection.stream.socket.shutdown(trio.socket.SHUT_WR)
            assert await connection.is_closed_by_peer()


@APIS
@STREAM
async def test_silent_sends_headers_only(sim: SimClient, api: Api, stream: bool) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, "sim-silent", "marker:s", stream=stream)
            assert (await connection.read_headers()).status == 200
            connection.stream.socket.shutdown(trio.socket.SHUT_WR)
            answer = await connection.read()
    assert (answer.ended, answer.body) == ("fin", b"")


@APIS
async def test_stall_sends_tokens_and_then_nothing(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, "sim-stall?at=3")
            await connection.read(until=b"w2 ")
            connection.stream.socket.shutdown(trio.socket.SHUT_WR)
            answer = await connection.read()
    assert answer.ended == "fin"
    assert text(api, answer) == words(3)
    assert end_markers(answer) == 0


@APIS
async def test_stall_sends_half_of_a_whole_answer(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, "sim-stall?at=3", stream=False)
            await connection.read(until=b"w3")
            connection.stream.socket.shutdown(trio.socket.SHUT_WR)
            answer = await connection.read()
    assert answer.ended == "fin"
    assert len(answer.body) == int(answer.headers["content-length"]) // 2


@APIS
@STREAM
@pytest.mark.parametrize("at", [0, 1, 333])
async def test_die_resets_after_that_byte(sim: SimClient, api: Api, stream: bool, at: int) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, f"sim-die?at={at}", stream=stream)
    assert answer.status == 200
    assert (answer.ended, len(answer.body)) == ("reset", at)


@APIS
@STREAM
async def test_die_resets_before_the_framing_s_end_when_the_body_is_shorter(
    sim: SimClient, api: Api, stream: bool
) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim-die?tokens=1&at=100000", stream=stream)
        events = (await sim.get("/sim/events"))["events"]
    assert answer.ended == ("reset" if stream else "complete")
    assert [event["kind"] for event in events][-1] == "faulted"


@APIS
async def test_eof_ends_the_body_without_the_end_marker(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, "sim-eof?at=4")
            answer = await connection.read()
            assert await connection.is_closed_by_peer()
    assert answer.ended == "complete"
    assert text(api, answer) == words(4)
    assert end_markers(answer) == 0


@APIS
async def test_eof_leaves_half_of_a_whole_answer_well_framed(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim-eof", stream=False)
    assert answer.ended == "complete"
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@APIS
async def test_truncate_closes_inside_a_chunk(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim-truncate?at=2")
    assert answer.ended == "fin"
    whole, torn = answer.body[: answer.body.rindex(b"w1 ")], answer.body
    assert words(2).split()[0].encode() in whole
    assert b"w2 " not in torn
    assert not torn.endswith(b"\n")
    assert end_markers(answer) == 0


@APIS
async def test_truncate_breaks_a_promised_length(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim-truncate", stream=False)
    assert answer.ended == "fin"
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


async def test_error_is_an_event_and_done_for_openai(sim: SimClient) -> None:
    with trio.fail_after(5):
        answer = await sim.chat("openai", "sim-error?at=2")
    *_, last, error, done = answer.events()
    assert last["choices"][0]["delta"] == {"content": "w1 "}
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert error["error"]["type"] == "server_error"
    assert done == b"[DONE]"
    assert answer.ended == "complete"


async def test_error_is_a_last_line_for_ollama(sim: SimClient) -> None:
    with trio.fail_after(5):
        answer = await sim.chat("ollama", "sim-error?at=2")
    *lines, last = answer.lines()
    assert [line["done"] for line in lines] == [False, False]
    assert list(last) == ["error"]
    assert answer.status == 200


@APIS
async def test_error_in_a_whole_answer_is_a_500(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim-error", stream=False)
    assert answer.status == 500
    assert answer.json()["error"]


@APIS
@STREAM
async def test_garbage_is_neither_json_nor_events(sim: SimClient, api: Api, stream: bool) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim-garbage", stream=stream)
    assert (answer.status, answer.ended) == (200, "complete")
    assert b"<html>\xff\xfe" in answer.body
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()
    assert end_markers(answer) == 0


@APIS
@STREAM
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "unavailable_error"),
    ],
)
async def test_refuse_is_an_error_before_the_first_byte(
    sim: SimClient, api: Api, stream: bool, status: int, kind: str
) -> None:
    with trio.fail_after(5):
        answer = await sim.chat(api, f"sim-refuse?status={status}", stream=stream)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert ("retry-after" in answer.headers) == (status in {429, 503})
    error = answer.json()["error"]
    if api == "ollama":
        assert isinstance(error, str)
    else:
        assert error["type"] == kind


@APIS
@STREAM
async def test_an_endless_line_goes_on_until_the_bound(
    sim: SimClient, api: Api, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ENDLESS_BYTES", 1024 * 1024)
    with trio.fail_after(5):
        answer = await sim.chat(api, "sim-endless-line?at=0", stream=stream)
    line = answer.body.rsplit(b"\n", 1)[-1]
    assert 1024 * 1024 < len(line) < 1024 * 1024 + 500
    assert line.endswith(b"x" * 1000)


@APIS
async def test_an_endless_line_stops_when_its_client_leaves(sim: SimClient, api: Api) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            await connection.ask(api, "sim-endless-line", "marker:e")
            await connection.read(until=b"xxx")
        assert await sim.happened("e", "closed")


@APIS
async def test_a_connection_is_good_after_an_error_that_was_well_framed(
    sim: SimClient, api: Api
) -> None:
    with trio.fail_after(5):
        async with sim.connect() as connection:
            for model in ("sim-error", "sim-refuse", "nobody", "sim-garbage", "sim?tokens=1"):
                await connection.ask(api, model)
                answer = await connection.read()
    assert text(api, answer) == words(1)
