"""The report as one HTML file, for people: it loads nothing from anywhere."""

from html import escape
from typing import Final

from jarvis_trio.storm.report import Report, deciding, in_brief, printable
from jarvis_trio.storm.report.timeline import draw_timeline
from jarvis_trio.storm.trial import Trial, Verdict

CLASSES: Final = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "fail",
    Verdict.NOT_APPLICABLE: "skip",
}

_HEAD: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<title>jarvis-trio storm</title>
<style>
:root { --back: #fff; --text: #1c1e21; --soft: #5f6670; --line: #d8dce1; --pass: #176f2c;
  --fail: #b3261e; --client: #7fb0ea; --upstream: #e9b267; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181b; --text: #e4e6e9; --soft: #9ba3ad; --line: #363b42; --pass: #6fcf86;
    --fail: #ff8a80; --client: #2f66a8; --upstream: #9a6a1f; }
}
body { background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif;
  max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .8rem .5rem 0;
  border-bottom: 1px solid var(--line); }
th:nth-child(1) { width: 28%; } th:nth-child(4) { width: 10rem; }
td { overflow-wrap: anywhere; }
td:last-child { white-space: nowrap; }
td.number { font-variant-numeric: tabular-nums; }
.pass { color: var(--pass); } .fail { color: var(--fail); } .skip, small { color: var(--soft); }
.pass, .fail, .skip { font-weight: 600; white-space: nowrap; }
ul { margin: 0; padding-left: 1.2rem; }
figure { margin: 0; }
li.fail { white-space: normal; }
li.pass { white-space: normal; font-weight: 400; color: inherit; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: var(--text); }
svg .tick { text-anchor: middle; fill: var(--soft); }
svg .grid { stroke: var(--line); }
svg .client { fill: var(--client); } svg .upstream { fill: var(--upstream); }
svg .mark { stroke: var(--text); fill: var(--back); stroke-width: 1.2; }
</style>
</head>
<body>
"""


def write_html(report: Report) -> str:
    """Return the page. Whatever a server said is text in it, and nothing else."""
    rows = "\n".join(_row(trial) for trial in report.trials)
    pictures = "\n".join(_picture(trial) for trial in report.trials if trial.timeline)
    verdict = f'<span class="{CLASSES[report.verdict]}">{in_brief(report.counts)}</span>'
    return f"""{_HEAD}<h1>The storm over {_text(report.url)}</h1>
<p>{verdict}; {_about(report)}</p>
<table>
<thead><tr><th>scenario<th>verdict<th>evidence<th>p50 / p99 ms<th>s</tr></thead>
<tbody>
{rows}
</tbody>
</table>
{pictures}
</body>
</html>
"""


def _about(report: Report) -> str:
    options = report.options
    return _text(
        f"{report.began_at.isoformat(sep=' ', timespec='seconds')}, {report.seconds:.1f} s, "
        f"jarvis-trio {report.version}; {options.sessions} sessions, {options.prompts} prompts, "
        f"{options.gap_seconds * 1000:g} ms apart, seed {options.seed}; "
        + (f"the mock model server was {report.sim}" if report.sim else "no mock model server")
    )


def _row(trial: Trial) -> str:
    shade = CLASSES[trial.verdict]
    latencies = "<br>".join(
        f"{each.p50_ms:.1f} / {each.p99_ms:.1f}<br><small>{_text(each.name)}</small>"
        for each in trial.latencies
    )
    return f"""<tr><td><b>{_text(trial.scenario)}</b><br><small>{_text(trial.promise)}</small></td>
<td class="{shade}">{trial.verdict}</td>
<td>{_evidence(trial)}</td>
<td class="number">{latencies}</td>
<td class="number">{trial.seconds:.1f}</td></tr>"""


def _evidence(trial: Trial) -> str:
    if not trial.findings:
        return escape(deciding(trial))
    findings = sorted(trial.findings, key=lambda finding: finding.holds)
    told = [f'<li class="{"pass" if each.holds else "fail"}">{_text(each)}' for each in findings]
    notes = [f"<li><small>{_text(note)}</small>" for note in trial.notes]
    return f"<ul>{''.join(told + notes)}</ul>"


def _picture(trial: Trial) -> str:
    return f"""<h2>{_text(trial.scenario)}, in time</h2>
<figure>{draw_timeline(trial.timeline)}</figure>"""


def _text(told: object) -> str:
    return escape(printable(str(told)))
