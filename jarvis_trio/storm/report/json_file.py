"""The report as JSON, for programs.

One object. Fields may come; none changes its meaning or goes without a new ``format``.

================  ==================================================================================
``format``        1
``versions``      ``jarvis_trio``, ``python``, ``trio``
``url``, ``sim``  what was tried; null where there was no mock upstream
``began_at``      RFC 3339; ``seconds`` is how long all of it took
``options``       ``sessions``, ``prompts``, ``gap_seconds``, ``seed``, ``pid``, ``model``,
                  ``patience_seconds``, ``grace_seconds``, ``answer_seconds``, ``soak_seconds``;
                  never the key
``abilities``     what the server was found to know: ``models``, ``has_sessions``
``verdict``       ``pass``, ``fail``, or ``not applicable`` when nothing could be played
``counts``        how many scenarios came to which verdict
``trials``        a list, in the order of playing; each has ``scenario``, ``promise``, ``verdict``,
                  ``missing`` (why it is not applicable, or null), ``findings`` (``sentence``,
                  ``holds``, ``seen``), ``latencies`` (``name``, ``count``, ``p50_ms``, ``p99_ms``,
                  ``max_ms``, ``limit_ms``; the first is the key one), ``notes``, ``seconds``,
                  ``lag_ms`` (how late the harness itself was at most) and ``timeline``
                  (``name``, ``ending``, ``client`` and ``upstream``: lists of
                  [label, ms since the first prompt])
================  ==================================================================================
"""

import json
import platform
from typing import Any, Final

import msgspec
import trio

from jarvis_trio.storm.report import Report

FORMAT: Final = 1


def write_json(report: Report) -> str:
    """Return it in ASCII: nothing that a server said can reach a terminal as it was."""
    return json.dumps(_shape(report), indent=2) + "\n"


def _shape(report: Report) -> dict[str, Any]:
    shape: dict[str, Any] = msgspec.to_builtins(report)
    version = shape.pop("version")
    versions = {
        "jarvis_trio": version,
        "python": platform.python_version(),
        "trio": trio.__version__,
    }
    trials = [
        {"scenario": told.pop("scenario"), "verdict": trial.verdict.value, **told}
        for trial, told in zip(report.trials, shape.pop("trials"), strict=True)
    ]
    verdict = {"verdict": report.verdict.value, "counts": report.counts}
    return {"format": FORMAT, "versions": versions, **shape, **verdict, "trials": trials}
