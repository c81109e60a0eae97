"""What tests of connections share."""

import gc
from collections.abc import Iterator

import pytest

from tests.providers.raw_server import open_files


@pytest.fixture
def nothing_left_open() -> Iterator[None]:
    """Fail a test that leaves a descriptor open; a socket left to the collector is an error too."""
    before = open_files()
    yield
    gc.collect()
    assert open_files() == before
