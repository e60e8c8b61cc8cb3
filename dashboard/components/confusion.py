"""The confusion matrix; for many classes, the largest confusions as a list, and a box to search it."""

import numpy as np

from dashboard.components.clickable import action, choices, esc, held
from dashboard.components.panel import panel
from dashboard.tabs.errors_state import View
from explain.analysis.confusion import NORMS, ORDERS, in_order, largest, normalized
from explain.run.reader import RunData

FULL = 16  # classes that fit as a matrix
LISTED, SEARCHED = 20, 5000


def confusion(run: RunData, view: View) -> str:
    """Rows true, columns predicted; every cell with images is a button."""
    columns = sorted(set(run.present) | set(np.flatnonzero(run.evaluation.confusion.sum(0)).tolist()))
    if len(columns) > FULL:
        return panel(
            "Confusion",
            search_box(view, "a class") + _list(run, view),
            f"the largest of {len(run.present):,} classes",
        )
    norms = choices("norm", "numbers", NORMS, view.norm)
    orders = choices("order", "order", ORDERS, view.order)
    body = f'<div class="vt-toolbar">{norms}{orders}</div>{_matrix(run, columns, view)}'
    return panel("Confusion", body, "rows true, columns predicted; click a cell")


def search_box(view: View, what: str) -> str:
    return (
        f'<input class="vt-search" type="search" data-action="find" value="{held(view.find)}" '
        f'placeholder="search {what}" '
        f'aria-label="search {what}">'
    )


def matching(run: RunData, find: str) -> set[int]:
    """Classes whose names hold what was searched for."""
    return {i for i, name in enumerate(run.classes) if find.lower() in name.lower()}


def _matrix(run: RunData, columns: list[int], view: View) -> str:
    matrix = run.evaluation.confusion
    fractions, shown = (
        normalized(matrix, "row" if view.norm == "counts" else view.norm),
        normalized(matrix, view.norm),
    )
    columns = in_order(matrix, columns, view.order)
    head = "".join(
        f'<th scope="col" title="{esc(run.classes[j])}"><span>{esc(run.classes[j])}</span></th>'
        for j in columns
    )
    rows = []
    for i in (i for i in columns if i in run.present):
        cells = "".join(_cell(run, view, i, j, fractions[i, j], shown[i, j]) for j in columns)
        rows.append(
            '<tr><th scope="row" '
            f'title="{esc(run.classes[i])}"><span>{esc(run.classes[i])}</span></th>{cells}</tr>'
        )
    return (
        '<div class="vt-scroll"><table '
        f'class="vt-matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        "</div>"
    )


def _cell(run: RunData, view: View, i: int, j: int, part: float, value: float) -> str:
    count, part = int(run.evaluation.confusion[i, j]), float(np.nan_to_num(part))
    chosen = " vt-on" if view.label == i and (view.pred == j or (view.pred is None and i == j)) else ""
    message = f"{run.classes[i]} called {run.classes[j]}: {count} of {run.evaluation.support[i]}"
    text = str(count) if view.norm == "counts" else "–" if value != value else f"{100 * value:.0f}"
    return (
        '<td><button class="vt-cell '
        f'vt-{"hit" if i == j else "miss"}{chosen}{" vt-strong" if part > 0.45 else ""}" '
        f'style="--s:{part**0.6:.3f}" '
        f'title="{esc(message)}" aria-label="{esc(message)}" {action("cell", f"{i},{j}")}>{text}</button>'
        "</td>"
    )


def _list(run: RunData, view: View) -> str:
    found = largest(run.evaluation.confusion, SEARCHED if view.find else LISTED)
    if view.find:
        wanted = matching(run, view.find)
        found = [(i, j, n) for i, j, n in found if i in wanted or j in wanted][:LISTED]
    rows = []
    for i, j, count in found:
        chosen = " vt-on" if (view.label, view.pred) == (i, j) else ""
        name = f'{esc(run.classes[i])} → <b class="vt-bad">{esc(run.classes[j])}</b>'
        message = f"{count} of {run.evaluation.support[i]}"
        rows.append(
            f'<button class="vt-row{chosen}" '
            f"{action('cell', f'{i},{j}')}><span>{name}</span><span>{message}</span></button>"
        )
    none = (
        f"Nothing was confused with a class called '{esc(view.find)}'."
        if view.find
        else "Nothing was confused."
    )
    return f'<div class="vt-rows">{"".join(rows) or none}</div>'
