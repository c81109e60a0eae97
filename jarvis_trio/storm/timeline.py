"""Prompts in time: what their client saw of them, and the model server's side, on one clock."""

from collections.abc import Mapping, Sequence

from jarvis_trio.storm.answer import Answer
from jarvis_trio.storm.call import Call
from jarvis_trio.storm.trial import Row
from jarvis_trio.storm.witness import Seen

ANOTHER_CLOCK_NS = 60 * 10**9
"""A mock upstream whose times are so far off runs on another machine: they tell nothing here."""


def rows_of(
    calls: Mapping[str, Call], answers: Mapping[str, Answer], seen: Sequence[Seen]
) -> list[Row]:
    """Return a row for each prompt, in the order of sending; the keys are the prompts' markers."""
    if not calls:
        return []
    ordered = sorted(calls.items(), key=lambda item: item[1].sent_ns)
    zero = ordered[0][1].sent_ns
    ours = [each for each in seen if abs(each.t_ns - zero) < ANOTHER_CLOCK_NS]

    def in_ms(times: list[tuple[str, int | None]]) -> list[tuple[str, float]]:
        known = [(label, t_ns) for label, t_ns in times if t_ns is not None]
        known.sort(key=lambda time: time[1])
        return [(label, round((t_ns - zero) / 1e6, 3)) for label, t_ns in known]

    return [
        Row(
            f"prompt {number}",
            "its client left" if call.left_ns else str(answers.get(marker, "no ending")),
            in_ms(_times_of(call)),
            in_ms(
                [(each.kind.replace("_", " "), each.t_ns) for each in ours if each.marker == marker]
            ),
        )
        for number, (marker, call) in enumerate(ordered, 1)
    ]


def _times_of(call: Call) -> list[tuple[str, int | None]]:
    pieces = [t_ns for t_ns, _ in call.pieces if call.first_text_ns and t_ns > call.first_text_ns]
    return [
        ("sent", call.sent_ns),
        ("first byte", call.head_ns),
        ("first text", call.first_text_ns),
        *(("text", t_ns) for t_ns in pieces),
        ("left", call.left_ns) if call.left_ns is not None else ("end", call.ended_ns),
    ]
