"""How many requests a model server works at, as it says in formats of its own.

llama.cpp (``GET /slots``): https://github.com/ggml-org/llama.cpp/tree/master/tools/server.
vLLM: https://docs.vllm.ai/en/latest/usage/metrics.html (Prometheus' text format).
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from jarvis_trio.errors import WireError
from jarvis_trio.wire.decoding import MALFORMED

_VLLM: Final = re.compile(
    rb"^vllm:num_requests_(?:running|waiting)(?:\{[^\n]*\})? +([0-9.e+]+) *$", re.MULTILINE
)


class _Slot(Struct):
    is_processing: bool


_decode_slots = msgspec.json.Decoder(list[_Slot]).decode


def decode_slots(body: bytes) -> int:
    """Count llama.cpp's slots that are in use. *Errors:* WireError."""
    try:
        return sum(slot.is_processing for slot in _decode_slots(body))
    except MALFORMED as fault:
        raise WireError(f"the model server sent what is not a list of slots: {fault}") from None


def decode_vllm_metrics(body: bytes) -> int:
    """Count the requests that vLLM runs or that wait for it. *Errors:* WireError."""
    try:
        counts = [int(float(count)) for count in _VLLM.findall(body)]
    except (ValueError, OverflowError):
        counts = []
    if not counts:
        raise WireError("the model server's metrics do not say how many requests it runs")
    return sum(counts)
