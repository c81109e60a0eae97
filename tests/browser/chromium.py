"""The machine's Chromium, as these tests start it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Playwright, expect

INSECURE_NAME = "jarvis.test"
"""This machine by a name that the browser does not trust, as one in the local network."""

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {INSECURE_NAME} 127.0.0.1",
]
EXPECT_WITHIN_MS = 10_000
PROGRAM = shutil.which("chromium")


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Run it headless; what is expected of a page may take ``EXPECT_WITHIN_MS``."""
    expect.set_options(timeout=EXPECT_WITHIN_MS)
    browser = playwright.chromium.launch(
        executable_path=PROGRAM, chromium_sandbox=os.getuid() != 0, args=FLAGS
    )
    try:
        yield browser
    finally:
        browser.close()
