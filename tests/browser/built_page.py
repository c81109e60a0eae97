"""The page as ``npm run build`` leaves it."""

import mimetypes
import os
from pathlib import Path

from tests.end_to_end.processes import ROOT

PAGE = Path(os.environ.get("TESTED_PAGE", ROOT / "jarvis_trio" / "web" / "page"))
"""Another page than the package's is what the mutations are: see mutations.py."""

CONTENT_SECURITY_POLICY = "; ".join(
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
)


def built_file(path: str) -> tuple[bytes, str] | None:
    """Return a file of the page and its media type; ``/`` is the page itself."""
    file = (PAGE / path.lstrip("/")).resolve() if path != "/" else PAGE / "index.html"
    if not file.is_relative_to(PAGE.resolve()) or not file.is_file():
        return None
    media_type, _ = mimetypes.guess_type(file.name)
    return file.read_bytes(), media_type or "application/octet-stream"
