"""The chat page: what Vite has built of ``ui/``, read and compressed once, before anybody asks.

Each file has a route of its own, so that there is no path to climb out of. A file under ``assets/``
has a digest of its content in its name and is kept for ever; of the others a browser asks each time
whether they have changed. The document brings the policy that keeps scripts of others out.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from quart import Response, request

BUILT: Final = Path(__file__).with_name("page")
"""Where the page is: in a wheel always, in a clone once it has been built."""

HOW_TO_BUILD: Final = "in a clone, 'make page' builds it"

TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
UNKNOWN_TYPE: Final = "application/octet-stream"
HIDDEN: Final = re.compile(r"(^|/)\.")
INCOMPRESSIBLE: Final = {".ico", ".png", ".woff2"}

OF_A_FILE: Final = {
    "Vary": "Accept-Encoding",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
OF_THE_DOCUMENT: Final = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types dompurify",
        ]
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
KEPT: Final = "public, max-age=31536000, immutable"
ASKED_FOR: Final = "no-cache"

INDEX: Final = f"""jarvis_trio is running. Its chat page is not built: {HOW_TO_BUILD}.

POST /v1/chat/completions   OpenAI-compatible, streaming
GET  /v1/models
GET  /healthz /readyz /metrics /v1/ops
GET  /openapi.json          all of it, described
"""


class Content(Struct, frozen=True):
    """The bytes of an answer, and the headers that go with just these."""

    body: bytes
    headers: dict[str, str]


class PageFile(Struct, frozen=True):
    """A file as it is, and compressed where that makes it smaller."""

    plain: Content
    gzipped: Content | None

    async def answer(self) -> Response:
        """GET it: the form that the client takes; 304 where it has that already."""
        wants_gzip = self.gzipped is not None and request.accept_encodings["gzip"] > 0
        content = self.gzipped if self.gzipped is not None and wants_gzip else self.plain
        response = Response(content.body, headers=content.headers)
        await response.make_conditional(request)
        return response


Page = Mapping[str, PageFile]
"""The files by the path of their address; without ``/`` there is no page."""

NO_PAGE: Final[Page] = {}


async def index_without_a_page() -> Response:
    """GET /: what a browser that was pointed here should know where no page is built."""
    return Response(INDEX, content_type=TYPES[".txt"])


def load_page(directory: Path = BUILT) -> Page:
    """Return what is built in ``directory``, with nothing that begins with a dot."""
    document = directory / "index.html"
    if not document.is_file():
        return NO_PAGE
    paths = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != document
    }
    files = {f"/{name}": path for name, path in paths.items() if not HIDDEN.search(name)}
    return {path: _read(path, file) for path, file in {"/": document, **files}.items()}


def _read(path: str, file: Path) -> PageFile:
    body = file.read_bytes()
    headers = {
        "Content-Type": TYPES.get(file.suffix, UNKNOWN_TYPE),
        "Cache-Control": KEPT if path.startswith("/assets/") else ASKED_FOR,
        **OF_A_FILE,
        **(OF_THE_DOCUMENT if path == "/" else {}),
    }
    gzipped = body if file.suffix in INCOMPRESSIBLE else gzip.compress(body, mtime=0)
    return PageFile(
        _content(body, headers),
        _content(gzipped, {**headers, "Content-Encoding": "gzip"})
        if len(gzipped) < len(body)
        else None,
    )


def _content(body: bytes, headers: dict[str, str]) -> Content:
    """Return an answer whose tag, as it is a strong one, is that of these very bytes."""
    return Content(body, {**headers, "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'})
