"""Real servers for real clients."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.processes import Server, Sim, running_server, running_sim


@pytest.fixture(scope="session")
def shared_sim() -> Iterator[Sim]:
    """One mock upstream for all tests: 100 tokens a second, answers of 60 tokens."""
    with running_sim("--tokens-per-second", "100", "--tokens", "60") as sim:
        yield sim


@pytest.fixture
def sim(shared_sim: Sim) -> Sim:
    """The mock upstream with a clean record."""
    shared_sim.reset()
    return shared_sim


@pytest.fixture(scope="session")
def simulated_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as a newcomer has it: no model server, the built-in model."""
    path = tmp_path_factory.mktemp("simulated")
    with running_server(path, "simulated:?tokens_per_second=200&first_token_ms=50") as server:
        yield server


@pytest.fixture(scope="session", params=["ollama", "openai"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_sim: Sim
) -> Iterator[Server]:
    """A server over the mock upstream, by either of its APIs."""
    path = tmp_path_factory.mktemp(request.param)
    with running_server(path, shared_sim.upstream(request.param)) as server:
        yield server
