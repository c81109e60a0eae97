"""``GET /openapi.json`` describes every route, every status and every error, and nothing else."""

import re

import jsonschema_rs
import pytest
from trio.testing import MockClock

from jarvis_trio import errors
from jarvis_trio.errors import AuthenticationError, JarvisError
from jarvis_trio.web.openapi import document, encoded_document
from jarvis_trio.web.operations import OPERATIONS
from tests.web.server import CHAT, described_path, serving

NEVER_SENT = (
    errors.ConfigError,  # ends the start
    errors.WireError,  # the provider makes it an UpstreamError
    errors.StreamEndedError,  # only its kinds are raised
    errors.UnavailableError,  # the same
)
FAR = ("192.0.2.7", 5555)


def kinds(error: type[JarvisError]) -> set[type[JarvisError]]:
    return {error}.union(*map(kinds, error.__subclasses__()))


async def test_the_document_is_there_for_everybody(autojump_clock: MockClock) -> None:
    async with (
        serving(api_keys=("mine",)) as server,
        server.request("GET", "/openapi.json", client=FAR) as exchange,
    ):
        assert await exchange.status() == 200
        assert await exchange.json() == document()
    assert encoded_document() is encoded_document()


async def test_every_route_is_described_and_nothing_else(autojump_clock: MockClock) -> None:
    async with serving() as server:
        routes = {
            (method, described_path(rule.rule))
            for rule in server.app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        }
    described = {
        (method.upper(), path)
        for path, operations in document()["paths"].items()
        for method in operations
    }
    assert described == routes == set(OPERATIONS)


@pytest.mark.parametrize("route", OPERATIONS, ids=" ".join)
async def test_what_asks_for_a_key_says_so(
    autojump_clock: MockClock, route: tuple[str, str]
) -> None:
    method, path = route
    needs_key = AuthenticationError in OPERATIONS[route].errors
    assert bool(document()["paths"][path][method.lower()]["security"]) == needs_key
    async with serving() as server, server.request(method, path, body=b"{}") as exchange:
        assert (await exchange.status() == 401) == needs_key


def test_every_error_that_a_client_can_meet_is_described_by_its_own_words() -> None:
    paths = document()["paths"]
    told = [
        paths[CHAT]["post"]["responses"],
        paths["/v1/sessions/{session_id}/cancel"]["post"]["responses"],
        paths["/v1/sessions"]["get"]["responses"],
        paths["/v1/streams/{stream_id}"]["get"]["responses"],
        paths["/debug/tasks"]["get"]["responses"],
    ]
    for error in kinds(JarvisError).difference(NEVER_SENT):
        if error.__module__ == "jarvis_trio.errors":
            descriptions = [
                answers[str(error.status)]["description"]
                for answers in told
                if str(error.status) in answers
            ]
            assert any(f"`{error.code}`" in words for words in descriptions), error


def test_every_answer_has_a_description_of_its_json_that_is_a_schema() -> None:
    whole = document()
    schemas = whole["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
        assert not re.search(r"^ ", schema["description"], re.MULTILINE)
    mentioned = set(re.findall(rb'"#/components/schemas/(\w+)"', encoded_document()))
    assert mentioned <= {name.encode() for name in schemas}
    for error in ("400", "405", "503"):
        content = whole["paths"][CHAT]["post"]["responses"][error]["content"]
        assert content == {
            "application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}
        }
