"""Fixtures of the web floor's tests."""

import pytest
import structlog


@pytest.fixture
def logged() -> structlog.testing.LogCapture:
    """Every log event of the test, as dicts."""
    capture = structlog.testing.LogCapture()
    structlog.configure(
        processors=[capture],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return capture
