"""The page as ``npm run build`` leaves it."""

import mimetypes

from jarvis_trio.web.page_routes import BUILT, OF_THE_DOCUMENT

CONTENT_SECURITY_POLICY = OF_THE_DOCUMENT["Content-Security-Policy"]


def built_file(path: str) -> tuple[bytes, str] | None:
    """Return a file of the page and its media type; ``/`` is the page itself."""
    file = (BUILT / path.lstrip("/")).resolve() if path != "/" else BUILT / "index.html"
    if not file.is_relative_to(BUILT.resolve()) or not file.is_file():
        return None
    media_type, _ = mimetypes.guess_type(file.name)
    return file.read_bytes(), media_type or "application/octet-stream"
