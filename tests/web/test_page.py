"""The chat page: its files and nothing else, each with what browsers and caches must know of it."""

import gzip
import re
from pathlib import Path

import pytest
from trio.testing import MockClock

from jarvis_trio.web.page_routes import BUILT, NO_PAGE, UNKNOWN_TYPE, Page, load_page
from tests.web.server import refusal, serving

DOCUMENT = b"<!doctype html><title>chat</title>" + 50 * b"<!-- long enough -->"
SCRIPT = b"export const answer = 42;\n" * 50
ICON = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
GZIP = {"Accept-Encoding": "br, gzip"}
FIRST_SCRIPTS_AT_MOST = 140 * 1024


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """A page as Vite leaves one, with a neighbour that is none of it."""
    (tmp_path / "secret.txt").write_text("not the page's")
    built = tmp_path / "page"
    (built / "assets").mkdir(parents=True)
    (built / ".vite").mkdir()
    (built / "index.html").write_bytes(DOCUMENT)
    (built / "favicon.svg").write_bytes(ICON)
    (built / ".built-from").write_text("a digest")
    (built / ".vite" / "manifest.json").write_text("{}")
    (built / "assets" / "index-B1a2c3d4.js").write_bytes(SCRIPT)
    (built / "assets" / "photo-B1a2c3d4.png").write_bytes(bytes(1000))
    return load_page(built)


async def test_the_document_brings_the_policy_that_keeps_other_scripts_out(
    autojump_clock: MockClock, page: Page
) -> None:
    async with serving(page=page) as server, server.request("GET", "/") as exchange:
        assert await exchange.status() == 200
        assert await exchange.read() == DOCUMENT
        headers = exchange.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types dompurify"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["permissions-policy"] == "camera=(), geolocation=(), microphone=()"


async def test_a_file_with_a_digest_in_its_name_is_kept_for_ever(
    autojump_clock: MockClock, page: Page
) -> None:
    path = "/assets/index-B1a2c3d4.js"
    async with serving(page=page) as server, server.request("GET", path) as exchange:
        assert await exchange.status() == 200
        assert await exchange.read() == SCRIPT
        headers = exchange.headers
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_file_without_one_is_asked_for_each_time(
    autojump_clock: MockClock, page: Page
) -> None:
    async with serving(page=page) as server, server.request("GET", "/favicon.svg") as exchange:
        assert await exchange.status() == 200
        assert await exchange.read() == ICON
        assert exchange.headers["content-type"] == "image/svg+xml"
        assert exchange.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("br", False)],
)
async def test_text_is_compressed_for_whoever_takes_that(
    autojump_clock: MockClock, page: Page, accepted: str, *, is_compressed: bool
) -> None:
    headers = {"Accept-Encoding": accepted}
    async with (
        serving(page=page) as server,
        server.request("GET", "/", headers=headers) as exchange,
    ):
        assert await exchange.status() == 200
        body = await exchange.read()
        assert exchange.headers.get("content-encoding") == ("gzip" if is_compressed else None)
        assert exchange.headers["vary"] == "Accept-Encoding"
        assert exchange.headers["content-length"] == str(len(body))
    assert (gzip.decompress(body) if is_compressed else body) == DOCUMENT
    assert not is_compressed or len(body) < len(DOCUMENT) / 2


@pytest.mark.parametrize("path", ["/favicon.svg", "/assets/photo-B1a2c3d4.png"])
async def test_what_would_not_get_smaller_is_sent_as_it_is(
    autojump_clock: MockClock, page: Page, path: str
) -> None:
    async with (
        serving(page=page) as server,
        server.request("GET", path, headers=GZIP) as exchange,
    ):
        assert await exchange.status() == 200
        assert "content-encoding" not in exchange.headers


async def test_who_has_a_file_is_not_sent_it_again(autojump_clock: MockClock, page: Page) -> None:
    async with serving(page=page) as server:
        async with server.request("GET", "/") as exchange:
            assert await exchange.status() == 200
            tag = exchange.headers["etag"]
        known = {"If-None-Match": f'"another", {tag}'}
        async with server.request("GET", "/", headers=known) as exchange:
            assert await exchange.status() == 304
            assert await exchange.read() == b""
            assert exchange.headers["etag"] == tag
            assert exchange.headers["cache-control"] == "no-cache"
            assert exchange.headers["vary"] == "Accept-Encoding"
            assert "content-length" not in exchange.headers
        async with server.request("GET", "/", headers=known | GZIP) as exchange:
            assert await exchange.status() == 200  # those are other bytes
            assert exchange.headers["etag"] != tag


async def test_a_tag_is_that_of_the_bytes(tmp_path: Path) -> None:
    tags = []
    for text in ("one", "two", "one"):
        (tmp_path / "index.html").write_text(text)
        tags.append(load_page(tmp_path)["/"].plain.headers["ETag"])
    assert tags[0] == tags[2] != tags[1]
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', tag) for tag in tags), "a weak tag, or none"


async def test_only_the_pages_own_files_are_there(autojump_clock: MockClock, page: Page) -> None:
    assert set(page) == {
        "/",
        "/favicon.svg",
        "/assets/index-B1a2c3d4.js",
        "/assets/photo-B1a2c3d4.png",
    }
    async with serving(page=page) as server:
        for path in (
            "/assets/index-OTHER123.js",
            "/assets/",
            "/assets/../secret.txt",
            "/../secret.txt",
            "/assets/..%2f..%2fsecret.txt",
            "//secret.txt",
            "/.built-from",
            "/.vite/manifest.json",
        ):
            async with server.request("GET", path) as exchange:
                assert await exchange.status() == 404, path
                assert (await refusal(exchange))["code"] == "not_found"


async def test_only_reading_is_allowed(autojump_clock: MockClock, page: Page) -> None:
    async with serving(page=page) as server:
        for path in page:
            async with server.request("POST", path) as exchange:
                assert await exchange.status() == 405
                assert set(exchange.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
            async with server.request("HEAD", path) as exchange:
                assert await exchange.status() == 200


async def test_the_page_answers_to_no_name_that_is_not_ours(
    autojump_clock: MockClock, page: Page
) -> None:
    async with serving(page=page) as server:
        for path in page:
            headers = {"Host": "rebound.example"}
            async with server.request("GET", path, headers=headers) as exchange:
                assert await exchange.status() == 403
                assert (await refusal(exchange))["code"] == "host_not_allowed"


async def test_who_opens_a_server_without_a_page_is_told_how_to_build_it(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    assert load_page(tmp_path) is NO_PAGE
    async with serving() as server, server.request("GET", "/") as exchange:
        assert await exchange.status() == 200
        assert exchange.headers["content-type"] == "text/plain; charset=utf-8"
        text = (await exchange.read()).decode()
    assert "make page" in text
    assert "/openapi.json" in text


def test_the_built_page_is_one_that_its_own_policy_lets_run() -> None:
    page = load_page()
    if page is NO_PAGE:
        pytest.skip(f"THE PAGE IS NOT CHECKED: there is none in {BUILT}; make page")
    types = {path: file.plain.headers["Content-Type"] for path, file in page.items()}
    assert UNKNOWN_TYPE not in types.values(), types
    for path in page:
        digest = re.search(r"-[\w-]{8}\.\w+$", path)
        assert bool(digest) == path.startswith("/assets/"), f"{path} would be kept too long"
    document = page["/"].plain.body.decode()
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", document)
    asked_for = re.findall(r'(?:src|href)="([^"]*)"', document)
    assert asked_for
    assert set(asked_for) <= set(page)
    first = [page[path].gzipped for path in asked_for if path.endswith(".js")]
    sizes = [len(script.body) for script in first if script is not None]
    assert 0 < sum(sizes) <= FIRST_SCRIPTS_AT_MOST
    licences = page["/licenses.txt"].plain.body.decode()
    for name in ("react", "react-dom", "scheduler"):
        assert f"## {name} - " in licences
