"""The fixture ``llama_server``: llama.cpp on a loopback port, one for the whole session."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.llama_cpp.engine import LlamaServer
from tests.end_to_end.llama_cpp.model import write_model

_SERVER = Path(__file__).with_name("server.py")
_READY_WITHIN_SECONDS = 60.0
_GONE_WITHIN_SECONDS = 10.0


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """Two slots of 16,384 tokens each; its log is in ``server.log`` beside the model."""
    pytest.importorskip(
        "xllamacpp",
        reason="NO REAL ENGINE: xllamacpp cannot be imported, so llama.cpp stays untested",
        exc_type=ImportError,
    )
    folder = tmp_path_factory.mktemp("llama_cpp")
    model, log = folder / "word-salad.gguf", folder / "server.log"
    write_model(model)
    command = [sys.executable, str(_SERVER), str(model), "0", "--parallel", "2", "--ctx", "32768"]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            yield LlamaServer(_url_when_ready(process, log))
        finally:
            process.terminate()
            try:
                status = process.wait(_GONE_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert status == 0, log.read_text(errors="replace")[-2000:]


def _url_when_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + _READY_WITHIN_SECONDS
    said = b""
    while not said.endswith(b"\n"):
        left = deadline - time.monotonic()
        readable, _, _ = select.select([process.stdout], [], [], max(left, 0))
        part = os.read(process.stdout.fileno(), 4096) if readable else b""
        if not part:
            tail = log.read_text(errors="replace")[-2000:]
            pytest.fail(f"llama.cpp did not get ready; it said {said!r} and logged:\n{tail}")
        said += part
    return said.decode().removeprefix("ready ").strip()
