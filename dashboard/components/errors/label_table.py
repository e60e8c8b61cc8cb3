"""All labels of a run of several labels per image, of which one is looked at, and which labels are called
instead of others."""

import numpy as np
from markupsafe import Markup

from dashboard.components.controls import segments
from dashboard.components.markup import action, html, join
from dashboard.components.panel import empty, panel
from dashboard.tabs.errors_state import PAIRS, View
from explain.analysis.binary.measures import PRESETS
from explain.analysis.binary.text import figure
from explain.analysis.multi_label.counts import LabelCounts
from explain.analysis.multi_label.measures import LabelScores
from explain.analysis.multi_label.scores import chosen_thresholds, label_scores
from explain.analysis.multi_label.text import ClassRow, areas, averages, class_rows, with_interval
from explain.formatting import be, counted
from explain.run.outputs.label_sets import LabelSets

MOST = 60
"""Labels that are listed."""
FULL, LARGEST = 16, 12
"""Labels that fit as a matrix, and pairs that are listed where there are more."""
MEANINGS = {
    "instead": "rows: the label that is missed; columns: the label that is called and not true",
    "together": "images that have both labels",
}
SHOWN = ("micro F1", "macro F1", "subset accuracy", "Hamming loss")
HEADS = (
    ("label", ""),
    ("n", "images that have it"),
    ("AP", "average precision: area below the precision-recall curve"),
    ("F1", "harmonic mean of precision and recall, at the threshold"),
    ("missed", "images that have it and are not called"),
    ("false", "false alarms: images that are called and do not have it"),
)


def label_table(sets: LabelSets, view: View) -> Markup:
    """One row a label, the most errors first; a click looks at it. Then pairs of labels."""
    scores = label_scores(sets)
    counts = scores.at(chosen_thresholds(sets, view.label_thresholds))
    if view.pairs == "instead":
        pairs = _pairs(sets.classes, "instead", counts.called_instead)
    else:
        expected = scores.chance_of_together
        pairs = _pairs(sets.classes, "together", scores.together, expected)
    chosen = segments("pairs", PAIRS, view.pairs, "pairs")
    beside = html('<p class="vt-presets">pairs {} {}</p>{}', chosen, MEANINGS[view.pairs], pairs)
    sides = html(
        '<div class="vt-sides"><div>{}</div><div>{}</div></div>', _table(scores, counts, view), beside
    )
    body = _figures(scores, counts) + _presets() + sides
    return panel("Labels", body, "most errors first; click one to see its images")


def _figures(scores: LabelScores, counts: LabelCounts) -> Markup:
    """mAP and averages of all labels."""
    found = [areas(scores)[0], *(m for m in averages(counts) if m.name in SHOWN)]
    return html(
        '<dl class="vt-averages">{}</dl>',
        join(
            html('<div title="{}"><dt>{}</dt><dd>{}</dd></div>', m.meaning, m.name, with_interval(m))
            for m in found
        ),
    )


def _presets() -> Markup:
    """Buttons that set the threshold of every label."""
    buttons = join(
        html("<button {}>{}</button>", action("thresholds", name), text) for name, text in PRESETS.items()
    )
    return html(
        '<p class="vt-presets">thresholds of all labels <span class="vt-seg" role="group" '
        'aria-label="thresholds of all labels">{}</span></p>',
        buttons,
    )


def _table(scores: LabelScores, counts: LabelCounts, view: View) -> Markup:
    errors = counts.fp + counts.fn
    order = np.argsort(-errors, kind="stable").tolist()
    shown = order[:MOST] + [k for k in order[MOST:] if k == view.asked]
    rows = class_rows(scores, counts)
    left = len(order) - MOST
    more = empty(f"{counted(left, 'label')} with fewer errors {be(left)} not listed.") if left > 0 else ""
    return html(
        '<div class="vt-scroll vt-tall"><table class="vt-classes"><thead><tr>{}</tr></thead><tbody>{}</tbody>'
        "</table></div>{}",
        join(html('<th title="{}">{}</th>', meaning, name) for name, meaning in HEADS),
        join(_row(k, rows[k], counts, k == view.asked) for k in shown),
        more,
    )


def _row(k: int, row: ClassRow, counts: LabelCounts, chosen: bool) -> Markup:
    return html(
        '<tr class="{on}" tabindex="0" role="button" aria-label="look at {name}" {click}>'
        '<td class="vt-name" title="{name}">{name}</td><td>{n:,}</td><td title="{ap_range}">{ap}</td>'
        '<td title="threshold {threshold}">{f1}</td><td>{missed:,}</td><td>{alarms:,}</td></tr>',
        on="vt-on" if chosen else "",
        name=row.name,
        click=action("asked", k),
        n=row.images,
        ap_range=with_interval(row.average_precision),
        ap=figure(row.average_precision.value),
        threshold=row.threshold,
        f1=figure(row.f1.value),
        missed=int(counts.fn[k]),
        alarms=int(counts.fp[k]),
    )


def _pairs(
    names: tuple[str, ...], kind: str, values: np.ndarray, expected: np.ndarray | None = None
) -> Markup:
    """As a matrix, or the largest pairs as a list where there are many labels. `expected`: how many there
    would be if the labels had nothing to do with each other."""
    pairs = values.copy()
    np.fill_diagonal(pairs, 0)
    if not pairs.any():
        return empty(f"{PAIRS[kind]}: none.")
    return _cells(names, kind, pairs, expected) if len(names) <= FULL else _list(names, kind, pairs)


def _cells(names: tuple[str, ...], kind: str, pairs: np.ndarray, expected: np.ndarray | None) -> Markup:
    top = pairs.max()
    more = np.full(pairs.shape, np.nan) if expected is None else expected
    heads = join(html('<th scope="col" title="{0}"><span>{0}</span></th>', name) for name in names)
    rows = join(
        html(
            '<tr><th scope="row" title="{0}"><span>{0}</span></th>{1}</tr>',
            names[a],
            join(
                _cell(_message(names, kind, a, b, pairs[a, b], more[a, b]), kind, a, b, pairs[a, b], top)
                for b in range(len(names))
            ),
        )
        for a in range(len(names))
    )
    return html(
        '<div class="vt-scroll"><table class="vt-matrix"><thead><tr><td></td>{}</tr></thead><tbody>{}</tbody>'
        "</table></div>",
        heads,
        rows,
    )


def _cell(message: str, kind: str, a: int, b: int, count: int, top: int) -> Markup:
    if a == b:
        return Markup("<td></td>")
    part = float(count / top)
    return html(
        '<td><button class="vt-cell vt-{kind}{strong}" style="--s:{strength:.3f}" title="{message}" '
        'aria-label="{message}" {click}>{count}</button></td>',
        kind="miss" if kind == "instead" else "hit",
        strong=" vt-strong" if part > 0.45 else "",
        strength=0.85 * part**0.6,  # the numbers keep their contrast on the strongest, too
        message=message,
        click=action(kind, f"{a},{b}"),
        count=count,
    )


def _message(
    names: tuple[str, ...], kind: str, a: int, b: int, count: int, expected: float = float("nan")
) -> str:
    if kind == "instead":
        return f"{names[a]} missed, {names[b]} called instead: {counted(count, 'image')}"
    chance = f", {expected:.1f} if they had nothing to do with each other" if expected == expected else ""
    return f"{names[a]} and {names[b]}: {counted(count, 'image')}{chance}"


def _list(names: tuple[str, ...], kind: str, pairs: np.ndarray) -> Markup:
    symmetric = kind == "together"
    values = np.triu(pairs) if symmetric else pairs
    order = np.argsort(-values, axis=None, kind="stable")[:LARGEST]
    found = [(int(k // len(names)), int(k % len(names))) for k in order if values.flat[k]]
    sign = "+" if symmetric else "→"
    return html(
        '<div class="vt-rows">{}</div>',
        join(
            html(
                '<button class="vt-row" {click}><span>{a} {sign} <b>{b}</b></span>'
                "<span>{n:,}</span></button>",
                click=action(kind, f"{a},{b}"),
                a=names[a],
                b=names[b],
                sign=sign,
                n=int(values[a, b]),
            )
            for a, b in found
        ),
    )
