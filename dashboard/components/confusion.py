"""The confusion matrix; for many classes, the largest confusions as a list."""

import numpy as np

from dashboard.components.clickable import action, esc
from explain.run_data import RunData

FULL = 16  # classes that fit as a matrix
LISTED = 20


def confusion(run: RunData, label: int | None, pred: int | None) -> str:
    """Rows true, columns predicted; every cell with images is a button."""
    columns = sorted(set(run.present) | set(np.flatnonzero(run.evaluation.confusion.sum(0)).tolist()))
    body, note = (_matrix(run, columns, label, pred), "rows true, columns predicted; click a cell") if len(columns) <= FULL else (
        _list(run, label, pred), f"the {LISTED} largest of {len(run.present)} classes")  # fmt: skip
    return f'<section class="vt-panel"><h2>Confusion <small>{note}</small></h2>{body}</section>'


def _matrix(run: RunData, columns: list[int], label: int | None, pred: int | None) -> str:
    matrix, support = run.evaluation.confusion, run.evaluation.support
    head = "".join(f'<th scope="col" title="{esc(run.classes[j])}"><span>{esc(run.classes[j])}</span></th>' for j in columns)
    rows = []
    for i in run.present:
        cells = []
        for j in columns:
            count, part = int(matrix[i, j]), matrix[i, j] / support[i]
            kind = "hit" if i == j else "miss"
            chosen = " vt-on" if label == i and (pred == j or (pred is None and i == j)) else ""
            said = f"{run.classes[i]} called {run.classes[j]}: {count} of {support[i]}"
            strong = " vt-strong" if part > 0.45 else ""
            cells.append(f'<td><button class="vt-cell vt-{kind}{chosen}{strong}" style="--s:{part ** 0.6:.3f}" title="{esc(said)}" '
                         f'aria-label="{esc(said)}" {action("cell", f"{i},{j}")}>{count}</button></td>')  # fmt: skip
        rows.append(f'<tr><th scope="row" title="{esc(run.classes[i])}"><span>{esc(run.classes[i])}</span></th>{"".join(cells)}</tr>')
    return f'<div class="vt-scroll"><table class="vt-matrix"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _list(run: RunData, label: int | None, pred: int | None) -> str:
    wrong = run.evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    rows = []
    for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[i, j]:
            chosen = " vt-on" if (label, pred) == (i, j) else ""
            name = f'{esc(run.classes[i])} → <b class="vt-bad">{esc(run.classes[j])}</b>'
            count = f"{wrong[i, j]} of {run.evaluation.support[i]}"
            rows.append(f'<button class="vt-row{chosen}" {action("cell", f"{i},{j}")}><span>{name}</span><span>{count}</span></button>')
    return f'<div class="vt-rows">{"".join(rows) or "Nothing was confused."}</div>'
