"""Reports of storms that never blew."""

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from jarvis_trio.storm.report import Report
from jarvis_trio.storm.stage import Abilities, StormOptions
from jarvis_trio.storm.trial import Latency, Row, Trial

HOSTILE = "\x1b[31m</li><script>alert('x')</script>[bold]\x9b2J\u202e\ud800\ufffe]]>&\r\nend"
"""What a server might say."""


def passed() -> Trial:
    trial = Trial("rapid", "A new prompt ends the answer before it.", seconds=1.25)
    trial.expect("every prompt comes to an end", holds=True)
    trial.expect("the last prompt is answered in full", holds=True, seen="HTTP 200, [DONE]")
    trial.latencies = [Latency("last prompt to its first text", 10, 7.3, 15.5, 15.51)]
    trial.timeline = [
        Row(
            "prompt 1",
            "HTTP 200, error superseded, [DONE]",
            [("sent", 0.0), ("first byte", 3.0), ("first text", 3.1), ("text", 30.0), ("end", 52)],
            [("arrival", 1.5), ("first byte", 2.0), ("closed", 51.0)],
        ),
        Row("prompt 2", "no ending", [("sent", 50.0)], [("arrival", 52.0)]),
    ]
    return trial


def failed(said: str = "3 of 20 were answered") -> Trial:
    trial = Trial("leavers", "A client that leaves frees the model.", seconds=2.0)
    trial.expect("nobody waits", holds=True)
    trial.expect("the model is freed", holds=False, seen=said)
    trial.expect("it is freed soon", holds=False)
    trial.note(f"no sessions: {said}")
    return trial


def skipped() -> Trial:
    return Trial("stop", "Stop stops.", missing="needs --sim", seconds=0.01)


def report(*trials: Trial) -> Report:
    return Report(
        version="1.2.3",
        url="http://127.0.0.1:8000",
        sim=None,
        options=StormOptions(),
        abilities=Abilities(["sim"]),
        began_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        seconds=3.5,
        trials=list(trials),
    )


def read_xml(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - we wrote it
