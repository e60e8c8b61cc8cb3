"""Slices: what images have in common on which the network is wrong more often."""

from dashboard.components.clickable import action, esc
from dashboard.components.panel import panel, table, warning
from dashboard.tabs.errors_state import View
from explain.analysis.findings import Findings
from explain.analysis.slices import Slice
from explain.formatting import p_value, percent

SHOWN, LEVEL = 24, 0.05
HEADS = (
    ("slice", ""),
    ("images", ""),
    ("wrong", "share of wrong answers in it"),
    ("rest", "share of wrong answers in all other images"),
    ("errors", "wrong answers in it, and how many its mix of classes would have"),
    ("p", "Fisher's exact test, Benjamini-Hochberg over all slices"),
    ("p in class", "Cochran-Mantel-Haenszel within the classes, corrected alike"),
)


def slice_view(findings: Findings, view: View) -> str:
    """A table, the surest first; a row shows its images."""
    if findings.inconclusive:
        return panel("Slices", warning(findings.inconclusive))
    found = findings.slices(findings.method)
    sure = sum(max(s.p, s.p_within) < LEVEL for s in found)
    measured = "brightness" in findings.run.ok
    missing = (
        ""
        if measured
        else " This run was made before pictures were measured: run it again for brightness and the like."
    )
    text = (
        f"{sure} of {len(found)} slices have more errors than the rest, within classes too"
        if sure
        else f"none of {len(found)} slices has significantly more errors than the rest"
    )
    note = (
        f"{text}; attention is that of {esc(findings.run.title(findings.method))} for the "
        f"prediction.{missing}"
    )
    return panel("Slices", table(HEADS, "".join(map(_row, found[: max(SHOWN, sure)])), "vt-wide-first"), note)


def _row(s: Slice) -> str:
    sure, show = max(s.p, s.p_within) < LEVEL, action("group", f"slice:{s.name}")
    kind = "" if sure else "vt-unsure"
    return (
        f'<tr class="{kind}" tabindex="0" role="button" {show}><td><b>{esc(s.attribute)}</b> '
        f"{esc(s.value)}</td>"
        f"<td>{len(s.rows):,}</td><td "
        f'class="{"vt-bad" if sure else ""}">{percent(s.rate)}</td><td>{percent(s.rest_rate)}</td>'
        f"<td>{s.wrong:,} <small>of {s.expected:.0f} expected</small></td>"
        f"<td>{p_value(s.p)}</td><td>{p_value(s.p_within)}</td></tr>"
    )
