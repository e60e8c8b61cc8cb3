"""The confusion matrix; for many classes, the largest confusions as a list with a search box."""

import numpy as np
from markupsafe import Markup

from dashboard.components.controls import select
from dashboard.components.markup import action, html, join, verbatim
from dashboard.components.panel import panel
from dashboard.components.toolbar import controls_row
from dashboard.tabs.errors_state import View
from explain.analysis.confusion import NORMS, ORDERS, in_order, largest, normalized
from explain.formatting import counted
from explain.run.reader import RunData

FULL = 16  # classes that fit as a matrix
LISTED, SEARCHED = 20, 5000


def confusion(run: RunData, view: View) -> Markup:
    """Rows true, columns predicted; every cell with images is a button."""
    columns = sorted(set(run.present) | set(np.flatnonzero(run.evaluation.confusion.sum(0)).tolist()))
    if len(columns) > FULL:
        body = search_box(view, "a class") + _list(run, view)
        return panel("Confusion", body, f"the largest of {counted(len(run.present), 'class')}")
    controls = controls_row(
        select("norm", "numbers", NORMS, view.norm), select("order", "order", ORDERS, view.order)
    )
    body = controls + _matrix(run, columns, view)
    return panel("Confusion", body, "rows true, columns predicted; click a cell")


def search_box(view: View, what: str) -> Markup:
    return html(
        '<input class="vt-search" type="search" data-action="find" value="{}" placeholder="search {what}" '
        'aria-label="search {what}">',
        verbatim(view.find),
        what=what,
    )


def matching(run: RunData, find: str) -> set[int]:
    """Classes whose names contain the search text."""
    return {i for i, name in enumerate(run.classes) if find.lower() in name.lower()}


def _matrix(run: RunData, columns: list[int], view: View) -> Markup:
    matrix = run.evaluation.confusion
    fractions = normalized(matrix, "row" if view.norm == "counts" else view.norm)
    shown, columns = normalized(matrix, view.norm), in_order(matrix, columns, view.order)
    rows = (
        html(
            "<tr>{}{}</tr>",
            _head("row", run.classes[i]),
            join(_cell(run, view, i, j, fractions[i, j], shown[i, j]) for j in columns),
        )
        for i in columns
        if i in run.present
    )
    return html(
        '<div class="vt-scroll"><table class="vt-matrix"><thead><tr><td></td>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        join(_head("col", run.classes[j]) for j in columns),
        join(rows),
    )


def _head(scope: str, name: str) -> Markup:
    return html('<th scope="{}" title="{name}"><span>{name}</span></th>', scope, name=name)


def _cell(run: RunData, view: View, i: int, j: int, part: float, value: float) -> Markup:
    """`part`: the fraction that sets the color; `value`: the number that is written, a dash for NaN."""
    count, part = int(run.evaluation.confusion[i, j]), float(part) if part == part else 0.0
    chosen = view.label == i and (view.pred == j or (view.pred is None and i == j))
    return html(
        '<td><button class="vt-cell vt-{kind}{on}{strong}" style="--s:{strength:.3f}" title="{message}" '
        'aria-label="{message}" {click}>{text}</button></td>',
        kind="hit" if i == j else "miss",
        on=" vt-on" if chosen else "",
        strong=" vt-strong" if part > 0.45 else "",
        strength=part**0.6,
        message=f"true {run.classes[i]}, predicted {run.classes[j]}: {count} of {run.evaluation.support[i]}",
        click=action("cell", f"{i},{j}"),
        text=str(count) if view.norm == "counts" else "–" if value != value else f"{100 * value:.0f}",
    )


def _list(run: RunData, view: View) -> Markup:
    found = largest(run.evaluation.confusion, SEARCHED if view.find else LISTED)
    if view.find:
        wanted = matching(run, view.find)
        found = [(i, j, n) for i, j, n in found if i in wanted or j in wanted][:LISTED]
    none = (
        f"No confusion involves a class whose name contains '{view.find}'." if view.find else "No confusions."
    )
    return html('<div class="vt-rows">{}</div>', join(_confused(run, view, *one) for one in found) or none)


def _confused(run: RunData, view: View, i: int, j: int, count: int) -> Markup:
    return html(
        '<button class="vt-row{on}" {click}><span>{label} → <b class="vt-bad">{pred}</b></span>'
        "<span>{count} of {support}</span></button>",
        on=" vt-on" if (view.label, view.pred) == (i, j) else "",
        click=action("cell", f"{i},{j}"),
        label=run.classes[i],
        pred=run.classes[j],
        count=count,
        support=run.evaluation.support[i],
    )
