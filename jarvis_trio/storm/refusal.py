"""What a server that takes no more prompts tells a client: when to ask again, or not to."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from jarvis_trio.storm.answer import read_answer
from jarvis_trio.storm.call import Call


def fault_of_refusal(call: Call) -> str | None:
    """Say what of a refusal a client does not understand: None if it is told all it needs.

    It needs JSON, and either when to ask again (429, 503) or that it should not (409).
    """
    answer = read_answer(call)
    if call.status not in (409, 429, 503) or call.ended_ns is None or answer.is_cut:
        return str(answer)
    if answer.fault is not None:
        return f"HTTP {call.status} without JSON"
    if call.status == 409 and call.headers.get("x-should-retry") != "false":
        return "HTTP 409 without x-should-retry: false"
    if call.status != 409 and retry_after(call) is None:
        return f"HTTP {call.status} without a Retry-After"
    return None


def retry_after(call: Call) -> float | None:
    """Return after how many seconds to ask again; None when that is not told."""
    text = call.headers.get("retry-after", "")
    try:
        if text.isdecimal():
            return float(text)
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # a date of no known zone is no time
        return None
