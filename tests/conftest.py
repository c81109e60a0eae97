"""What every test gets."""

import gc
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

# A process that is held up for a moment makes any example late: no test of ours judges that.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Let collections look at what the tests make, and not at all that was imported for them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Keep logs away from the test's output, and one test's log settings from the next."""
    structlog.configure(
        processors=[],
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.reset_defaults()


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
