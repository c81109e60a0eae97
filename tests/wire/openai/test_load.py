"""How busy a model server says it is."""

import pytest

from jarvis_trio.errors import WireError
from jarvis_trio.wire.openai.load import decode_slots, decode_vllm_metrics

SLOTS = b'[{"id": 0, "is_processing": true, "params": {"n": 1}}, {"id": 1, "is_processing": false}]'
METRICS = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting_by_reason{engine="0"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
"""


def test_llama_cpp_has_as_many_slots_at_work_as_it_says() -> None:
    assert decode_slots(SLOTS) == 1
    assert decode_slots(b"[]") == 0


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error": {"code": 501}}', b'[{"id": 0}]', b"\xff"])
def test_what_is_no_list_of_slots_is_an_error(body: bytes) -> None:
    with pytest.raises(WireError, match="slots"):
        decode_slots(body)


def test_vllm_has_what_runs_and_what_waits_of_all_its_engines() -> None:
    assert decode_vllm_metrics(METRICS) == 6


def test_an_idle_vllm_has_nothing() -> None:
    assert decode_vllm_metrics(b'vllm:num_requests_running{engine="0"} 0.0\n') == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"python_info 1.0\n",
        b"vllm:num_requests_running NaN\n",
        b"vllm:num_requests_running 1e999\n",
        b"vllm:num_requests_running 1.2.3\n",
    ],
)
def test_metrics_that_do_not_say_it_are_an_error(body: bytes) -> None:
    with pytest.raises(WireError, match="how many requests"):
        decode_vllm_metrics(body)
