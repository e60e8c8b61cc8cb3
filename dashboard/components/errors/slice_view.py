"""Slices: attributes of images on which the network is wrong more often."""

from markupsafe import Markup

from dashboard.components.markup import action, html, join
from dashboard.components.panel import panel, table, warning
from dashboard.tabs.errors_state import View
from explain.analysis.findings import Findings
from explain.analysis.on_maps import not_said_of, slices_to_say, verdict_text
from explain.analysis.slices import Slice
from explain.formatting import p_value, percent

SHOWN, LEVEL = 24, 0.05
HEADS = (
    ("slice", ""),
    ("images", ""),
    ("wrong", "error rate in the slice"),
    ("rest", "error rate of all other images"),
    ("errors", "errors in the slice, and how many its mix of classes would have"),
    ("p", "Fisher's exact test, Benjamini-Hochberg over all slices"),
    ("p in class", "Cochran-Mantel-Haenszel within the classes, with the same correction"),
)
UNMEASURED = " This run has no image statistics: run it again for slices by brightness and others."


def slice_view(findings: Findings, view: View) -> Markup:
    """A table, the most significant first; a row shows its images."""
    if findings.inconclusive:
        return panel("Slices", warning(findings.inconclusive))
    every = findings.slices(findings.method)
    found = slices_to_say(findings, every)
    count = sum(max(s.p, s.p_within) < LEVEL for s in found)
    text = (
        f"{count} of {len(found)} slices have more errors than the rest, also within classes"
        if count
        else f"none of {len(found)} slices has significantly more errors than the rest"
    )
    name, verdict = findings.run.title(findings.method), verdict_text(findings.run, findings.method)
    note = f"{text}; map statistics are of {name} for the predicted class (maps: {verdict})."
    if len(found) < len(every):
        note = f"{text}. {not_said_of(findings.run, findings.method, 'slices by map statistics')}"
    note += "" if "brightness" in findings.run.ok else UNMEASURED
    return panel("Slices", table(HEADS, join(map(_row, found[: max(SHOWN, count)])), "vt-wide-first"), note)


def _row(s: Slice) -> Markup:
    significant = max(s.p, s.p_within) < LEVEL
    return html(
        '<tr class="{unsure}" tabindex="0" role="button" {click}><td><b>{attribute}</b> {value}</td>'
        '<td>{images:,}</td><td class="{bad}">{rate}</td><td>{rest}</td>'
        "<td>{wrong:,} <small>of {expected:.0f} expected</small></td><td>{p}</td><td>{p_within}</td></tr>",
        unsure="" if significant else "vt-unsure",
        click=action("group", f"slice:{s.name}"),
        attribute=s.attribute,
        value=s.value,
        images=len(s.rows),
        bad="vt-bad" if significant else "",
        rate=percent(s.rate),
        rest=percent(s.rest_rate),
        wrong=s.wrong,
        expected=s.expected,
        p=p_value(s.p),
        p_within=p_value(s.p_within),
    )
