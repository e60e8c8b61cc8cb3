"""Precision, recall and F1 of every class, lowest recall first."""

import numpy as np
from markupsafe import Markup

from dashboard.components.errors.confusion import matching
from dashboard.components.markup import action, html, join
from dashboard.components.panel import panel
from dashboard.tabs.errors_state import View
from explain.analysis.ranking import by_recall
from explain.formatting import decimal
from explain.run.reader import RunData

MOST = 60  # rows; more are found by searching


def class_table(run: RunData, view: View) -> Markup:
    """One row per class; a click shows its images."""
    order = by_recall(run)
    if view.find:
        wanted = matching(run, view.find)
        order = [i for i in order if i in wanted]
    shown = order[:MOST] + [i for i in order[MOST:] if i == view.label]
    note = (
        f"the lowest {MOST} of {len(order):,} by recall; search for others"
        if len(order) > MOST
        else "lowest recall first; click a class"
    )
    body = html(
        '<div class="vt-scroll vt-tall"><table class="vt-classes"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        join(html("<th>{}</th>", name) for name in ("class", "n", "precision", "recall", "F1")),
        join(_row(run, i, i == view.label) for i in shown),
    )
    return panel("Classes", body, note)


def _row(run: RunData, i: int, chosen: bool) -> Markup:
    e = run.evaluation
    return html(
        '<tr class="{on}" tabindex="0" role="button" aria-label="show {name}" {click}>'
        '<td class="vt-name" title="{name}">{name}</td><td>{n}</td>{bars}</tr>',
        on="vt-on" if chosen else "",
        name=run.classes[i],
        click=action("class", i),
        n=e.support[i],
        bars=join(_bar(values[i]) for values in (e.precision, e.recall, e.f1)),
    )


def _bar(value: float) -> Markup:
    return html(
        '<td><span class="vt-bar"><i style="width:{:.0f}%"></i></span>{}</td>',
        0 if np.isnan(value) else 100 * value,
        decimal(value),
    )
