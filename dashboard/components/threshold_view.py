"""The threshold of a run of two classes: a slider, presets, measures with intervals, and ROC and
precision-recall curves with the operating point."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from dashboard.components.controls import select
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel, row, table
from dashboard.components.toolbar import controls_row
from dashboard.tabs.errors_state import View
from explain.analysis.binary import PRESETS, BinaryScores, Counts
from explain.analysis.binary_text import Measure, areas, figure, interval_text, measures
from explain.analysis.findings import Findings
from explain.analysis.groups import OUTCOMES

SIDE, FINE = 100, 100  # of the drawing; steps of a curve that are told apart
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
    controls = controls_row(
        _slider(run.classes[run.positive], run.threshold),
        _presets(scores, run.threshold),
        select("positive", "positive class", names, str(run.positive)),
    )
    body = controls + table(HEADS, join(map(_measure, measures(counts))), "vt-measures")
    left = f"{scores.left_out:,} images without a probability are left out." if scores.left_out else ""
    body += _outcomes(counts) + (empty(left) if left else NOTHING) + _curves(scores, counts, run.threshold)
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


@dataclass(frozen=True, eq=False)
class Curve:
    """`short`: what its area is called; `across`, `up`: the axes; `line`: x and y in [0, 1]; `by_chance`: two
    points (x, y) of what chance gives; `point`: the operating point, NaN where it is not defined."""

    title: str
    short: str
    area: Measure
    across: str
    up: str
    line: tuple[np.ndarray, np.ndarray]
    by_chance: tuple[tuple[float, float], tuple[float, float]]
    point: tuple[float, float]


def _curves(scores: BinaryScores, counts: Counts, threshold: float) -> Markup:
    if scores.undefined:
        return empty(scores.undefined)
    auc, average = areas(scores)
    base = scores.positives / len(scores.truth)
    at_roc = (1 - counts.specificity, counts.sensitivity)
    at_pr = (counts.sensitivity, counts.precision)
    drawn = (
        Curve("ROC", "AUC", auc, "false-alarm rate", "sensitivity", scores.roc, ((0, 0), (1, 1)), at_roc),
        Curve(
            "Precision-recall",
            "AP",
            average,
            "recall",
            "precision",
            scores.precision_recall,
            ((0, base), (1, base)),
            at_pr,
        ),
    )
    return html('<div class="vt-charts vt-curves">{}</div>', join(_figure(c, threshold) for c in drawn))


def _figure(c: Curve, threshold: float) -> Markup:
    """A square with the curve, what chance gives, and the operating point."""
    (x0, y0), (x1, y1) = (_place(*point) for point in c.by_chance)
    interval, value = interval_text(c.area), figure(c.area.value)
    return html(
        '<figure class="vt-chart"><figcaption title="{meaning}"><b>{short} {value}</b> <small>{interval}'
        '</small></figcaption><svg class="vt-curve" viewBox="-2 -2 104 104" role="img" '
        'aria-label="{title} curve: {short} {value}, 95 % interval {interval}; at the threshold {threshold} '
        '{across} {x}, {up} {y}"><rect x="0" y="0" width="100" height="100"/>'
        '<line x1="{x0:.2f}" y1="{y0:.2f}" x2="{x1:.2f}" y2="{y1:.2f}"/><polyline points="{points}"/>{dot}'
        '</svg><small class="vt-axes">{across} → {up} ↑</small></figure>',
        meaning=c.area.meaning,
        short=c.short,
        value=value,
        interval=interval,
        title=c.title,
        threshold=str(threshold),
        across=c.across,
        up=c.up,
        x=figure(c.point[0]),
        y=figure(c.point[1]),
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        points=_points(*c.line),
        dot=_dot(*c.point),
    )


def _place(x: float, y: float) -> tuple[float, float]:
    return SIDE * x, SIDE * (1 - y)


def _dot(x: float, y: float) -> Markup:
    if x != x or y != y:
        return NOTHING
    return html('<circle class="vt-point" cx="{:.2f}" cy="{:.2f}" r="3"/>', *_place(x, y))


def _points(x: np.ndarray, y: np.ndarray) -> str:
    """Points of an SVG line, without those that lie within a pixel of the one before."""
    cell = np.round(x * FINE) * (FINE + 1) + np.round(y * FINE)
    kept = np.flatnonzero(np.append(True, np.diff(cell) != 0))
    kept = np.union1d(kept, [len(x) - 1])
    return " ".join(f"{SIDE * a:.1f},{SIDE * (1 - b):.1f}" for a, b in zip(x[kept], y[kept], strict=True))
