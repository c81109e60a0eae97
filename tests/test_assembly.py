"""What settings make of the server: which provider, and which sentence when none will do."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from jarvis_trio import assembly
from jarvis_trio.assembly import build_provider, introduce, ollama_url
from jarvis_trio.config import Settings
from jarvis_trio.errors import ConfigError, UpstreamError
from jarvis_trio.events import Model
from jarvis_trio.providers.ollama import OllamaProvider
from jarvis_trio.providers.openai_compatible import OpenAICompatibleProvider
from jarvis_trio.providers.simulated import SimulatedProvider
from tests.scripted import ScriptedProvider, words

ROOT = Path(__file__).parents[1]
NOBODY = "127.0.0.1:9"  # the discard port: nothing answers there


@pytest.fixture
def ollama() -> Iterator[str]:
    """Return the host:port of what answers as an Ollama does."""

    class Version(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/version" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Version) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_auto_takes_an_ollama_that_answers(monkeypatch: pytest.MonkeyPatch, ollama: str) -> None:
    monkeypatch.setattr(assembly, "AUTO_TIMEOUT_SECONDS", 30)  # a machine may be busy
    provider = build_provider(Settings(), {"OLLAMA_HOST": ollama})
    assert isinstance(provider, OllamaProvider)
    assert provider.name == f"ollama at {ollama}"


def test_auto_without_an_ollama_is_the_built_in_model() -> None:
    assert isinstance(build_provider(Settings(), {"OLLAMA_HOST": NOBODY}), SimulatedProvider)


@pytest.mark.parametrize(
    ("upstream", "kind", "name"),
    [
        ("simulated:", SimulatedProvider, "simulated model"),
        ("simulated:?tokens_per_second=5", SimulatedProvider, "simulated model"),
        ("ollama:http://127.0.0.1:1", OllamaProvider, "ollama at 127.0.0.1:1"),
        ("openai:https://a.example/v1", OpenAICompatibleProvider, "openai at a.example"),
        ("openai:http://me:secret@a.example/v1", OpenAICompatibleProvider, "openai at a.example"),
    ],
)
def test_each_upstream_has_its_provider(upstream: str, kind: type, name: str) -> None:
    provider = build_provider(Settings(upstream=upstream), {})
    assert type(provider) is kind
    assert provider.name == name


@pytest.mark.parametrize(
    "upstream",
    [
        "",
        "auto:x",
        "ollama",
        "ollama:",
        "ollama:127.0.0.1:11434",
        "openai:ftp://x",
        "llama:http://x",
        "openai:http://[",
        "openai:http://a b/",
        "openai:http:///v1",
        "openai:http://x:99999999/",
        "simulated:?tokens=5",
    ],
)
def test_an_unusable_upstream_is_a_sentence(upstream: str) -> None:
    with pytest.raises(ConfigError):
        build_provider(Settings(upstream=upstream), {})


def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it() -> None:
    settings = Settings(upstream="openai:http://127.0.0.1:1/v1", upstream_key="geheim\nü")
    with pytest.raises(ConfigError) as refused:
        build_provider(settings, {})
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - where Ollama listens
        (":8080", "http://127.0.0.1:8080"),
        ("box", "http://box:11434"),
        ("box:1234", "http://box:1234"),
        ("http://box:1234/", "http://box:1234"),
        ("https://box", "https://box:443"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]:1234", "http://127.0.0.1:1234"),
        ("[2001:db8::1]:1234", "http://[2001:db8::1]:1234"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(given: str, url: str) -> None:
    assert ollama_url(given) == url


class Models(ScriptedProvider):
    """A provider that lists these models, or fails to."""

    def __init__(self, answer: list[Model] | Exception) -> None:
        super().__init__(words)
        self.answer = answer

    async def models(self) -> list[Model]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "event", "fields"),
    [
        ([Model("m")], "server_ready", {"model": "m", "models": 1}),
        ([], "server_ready", {"model": None, "models": 0}),
        (UpstreamError("it fails", said="PROMPT"), "upstream_not_ready", {"reason": "it fails"}),
        (RuntimeError("a bug"), "upstream_not_ready", {"upstream": "scripted"}),
    ],
)
async def test_the_log_says_which_model_answers_and_a_failure_ends_nothing(
    logged: structlog.testing.LogCapture,
    answer: list[Model] | Exception,
    event: str,
    fields: dict[str, object],
) -> None:
    await introduce(Settings(api_keys=("k",)), Models(answer))
    (entry,) = logged.entries
    assert entry["event"] == event
    assert fields.items() <= entry.items()


async def test_the_log_tells_of_the_default_key_and_of_settings_without_effect(
    logged: structlog.testing.LogCapture,
) -> None:
    await introduce(Settings(cors_origins=("x",), database="memory:"), Models([]))
    told = [(entry["event"], entry.get("setting")) for entry in logged.entries]
    assert told == [
        ("default_key", None),
        ("setting_without_effect", "JARVIS_CORS_ORIGINS"),
        ("server_ready", None),
    ]


def test_a_misspelt_setting_is_a_sentence_under_the_hypercorn_cli(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JARVIS_FLUSH_WINDOWMS": "75"}
    command = [sys.executable, "-m", "hypercorn", "-c", str(ROOT / "hypercorn.toml")]
    command += ["-b", "127.0.0.1:0", "jarvis_trio.asgi:app"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    expected = "JARVIS_FLUSH_WINDOWMS is not a setting; did you mean JARVIS_FLUSH_WINDOW_MS?"
    assert done.stderr.splitlines() == [f"jarvis_trio: {expected}"]
