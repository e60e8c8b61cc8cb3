"""Precision, recall and F1 of every class, the worst first."""

import numpy as np

from dashboard.components.clickable import action, esc
from dashboard.components.confusion import matching
from dashboard.tabs.errors_state import View
from explain.analysis.ranking import by_recall
from explain.formatting import decimal
from explain.run.reader import RunData

MOST = 60  # rows; more are found by searching


def _bar(value: float) -> str:
    width = 0 if np.isnan(value) else 100 * value
    return f'<td><span class="vt-bar"><i style="width:{width:.0f}%"></i></span>{decimal(value)}</td>'


def class_table(run: RunData, view: View) -> str:
    """One row a class; a click shows its images."""
    e, order = run.evaluation, by_recall(run)
    if view.find:
        wanted = matching(run, view.find)
        order = [i for i in order if i in wanted]
    shown = order[:MOST] + [i for i in order[MOST:] if i == view.label]
    rows = "".join(
        f'<tr class="{"vt-on" if i == view.label else ""}" tabindex="0" role="button" aria-label="show '
        f'{esc(run.classes[i])}" {action("class", i)}>'
        f'<td class="vt-name" title="{esc(run.classes[i])}">{esc(run.classes[i])}</td><td>{e.support[i]}</td>'
        f"{_bar(e.precision[i])}{_bar(e.recall[i])}{_bar(e.f1[i])}</tr>"
        for i in shown
    )
    head = "".join(f"<th>{name}</th>" for name in ("class", "n", "precision", "recall", "F1"))
    some = (
        f"the lowest {MOST} of {len(order):,} by recall; search for others"
        if len(order) > MOST
        else "lowest recall first; click a class"
    )
    return (
        f'<section class="vt-panel"><h2>Classes <small>{some}</small></h2><div class="vt-scroll vt-tall">'
        f'<table class="vt-classes"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )
