"""The threshold of a run of two classes: a slider, presets, measures with intervals, and ROC and
precision-recall curves with the operating point."""

from markupsafe import Markup

from dashboard.components.controls import select
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel, row, table
from dashboard.components.toolbar import controls_row
from dashboard.tabs.errors_state import View
from explain.analysis.binary.curves import Curve, curves
from explain.analysis.binary.measures import PRESETS, BinaryScores, Counts
from explain.analysis.binary.text import Measure, figure, interval_text, left_out_text, measures
from explain.analysis.findings import Findings
from explain.analysis.groups import OUTCOMES

HEADS = (
    ("at the threshold", ""),
    ("value", ""),
    ("95 % interval", "Wilson's for fractions, bootstrap for F1"),
    ("images", ""),
)
MEANINGS = {
    "0.5": "the network's own prediction",
    "best-f1": "the largest F1 on these images; on other images it is usually smaller",
    "sensitivity-90": "the fewest false alarms with a sensitivity of at least 90 % on these images",
}


def threshold_panel(findings: Findings, view: View) -> Markup:
    """Of the findings at the view's threshold."""
    run, scores = findings.run, findings.scores
    counts = scores.at(run.threshold)
    names = {str(i): name for i, name in enumerate(run.classes)}
    of_class = select("positive", "positive class", names, str(run.positive))
    controls = controls_row(
        _slider(run.classes[run.positive], run.threshold),
        _presets(scores, run.threshold),
        of_class if run.label_sets is None else NOTHING,  # a label is what is called or not
    )
    body = controls + table(HEADS, join(map(_measure, measures(counts))), "vt-measures")
    left = left_out_text(scores)
    body += _outcomes(counts) + (empty(left) if left else NOTHING) + _curves(findings)
    return panel(
        "Threshold", body, f"{run.classes[run.positive]} is predicted where its probability is at least this"
    )


def _slider(name: str, threshold: float) -> Markup:
    """A range, and a field for numbers that it cannot reach."""
    return html(
        '<label class="vt-range">threshold <input type="range" min="0" max="1" step="0.001" '
        'value="{value}" data-action="threshold" aria-label="threshold of the probability of {name}">'
        '<input type="number" min="0" max="1" step="any" value="{value}" data-action="threshold" '
        'aria-label="threshold as a number from 0 to 1"></label>',
        value=str(threshold),
        name=name,
    )


def _presets(scores: BinaryScores, threshold: float) -> Markup:
    """A button for each; those that need curves are left out where there are none."""
    known = ["0.5"] if scores.undefined else list(PRESETS)
    values = {name: scores.preset(name) for name in known}
    states = {
        True: Markup('class="vt-on" aria-pressed="true"'),
        False: Markup('aria-pressed="false"'),
    }
    buttons = join(
        html(
            '<button {} title="{}: {}" {}>{}</button>',
            states[value == threshold],
            value,
            MEANINGS[name],
            action("threshold", str(value)),
            PRESETS[name],
        )
        for name, value in values.items()
    )
    return html('<span class="vt-seg" role="group" aria-label="thresholds">{}</span>', buttons)


def _measure(m: Measure) -> Markup:
    name = html('<span title="{}">{}</span>', m.meaning, m.name)
    return row((name, html("<b>{}</b>", figure(m.value)), interval_text(m), m.note))


def _outcomes(counts: Counts) -> Markup:
    """How many images of each outcome; those that are lists are buttons."""
    number = {"false-alarms": counts.fp, "misses": counts.fn, "hits": counts.tp}
    buttons = join(
        html('<button class="vt-link" {}>{:,} {}</button>', action("group", key), number[key], OUTCOMES[key])
        for key in OUTCOMES
    )
    return html('<p class="vt-outcomes">{} <span>{:,} correct rejections</span></p>', buttons, counts.tn)


def _curves(findings: Findings) -> Markup:
    if findings.scores.undefined:
        return empty(findings.scores.undefined)
    return html('<div class="vt-charts vt-curves">{}</div>', join(map(_figure, curves(findings))))


def _figure(c: Curve) -> Markup:
    """A square with the curve, what chance gives, and the operating point."""
    (x1, y1), (x2, y2) = c.by_chance
    dot = html('<circle class="vt-point" cx="{:.2f}" cy="{:.2f}" r="3"/>', *c.at) if c.at else NOTHING
    return html(
        '<figure class="vt-chart"><figcaption title="{meaning}"><b>{short} {value}</b> <small>{interval}'
        '</small></figcaption><svg class="vt-curve" viewBox="-2 -2 104 104" role="img" aria-label="{alt}">'
        '<rect x="0" y="0" width="100" height="100"/><line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" '
        'y2="{y2:.2f}"/><polyline points="{points}"/>{dot}</svg>'
        '<small class="vt-axes">{across} → {up} ↑</small></figure>',
        meaning=c.area.meaning,
        short=c.short,
        value=c.value,
        interval=c.interval,
        alt=c.alt,
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        points=c.points,
        dot=dot,
        across=c.across,
        up=c.up,
    )
